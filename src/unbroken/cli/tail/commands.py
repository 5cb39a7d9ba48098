"""`unbroken tail`: parse, call, render."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from unbroken.cli.diagnosis.output import Exit
from unbroken.cli.output import OutputLost, ending_well
from unbroken.cli.tail import arguments as given
from unbroken.errors import ConfigurationError, EventSourceError, EventStreamError, UnbrokenError

if TYPE_CHECKING:
    import httpx2

    from unbroken.cli.tail.following import Tail
    from unbroken.cli.tail.screen import Screen

__all__ = ["tail"]


def tail(
    url: given.Url,
    after: given.After = None,
    store: given.StoreFile = None,
    types: given.Types = None,
    count: given.Count = None,
    end: given.End = None,
    strict: given.Strict = False,
    as_json: given.AsJson = False,
    time: given.Time = False,
    save: given.Save = None,
    quiet: given.Quiet = False,
    headers: given.Headers = None,
    method: given.Method = None,
    data: given.Data = None,
    ca: given.CA = None,
    insecure: given.Insecure = False,
    reconnect: given.Reconnect = None,
    max_attempts: given.MaxAttempts = None,
    idle_timeout: given.IdleTimeout = None,
    max_event_bytes: given.MaxEventBytes = None,
) -> None:
    """Print the events of any event stream as they come. Exit code 1: --strict and a gap; 2: no stream, or given up."""
    with ending_well("tail"):
        # Only here: the help of all commands is there without what they need.
        from unbroken.cli.tail.following import Tail
        from unbroken.cli.tail.lines import Form
        from unbroken.cli.tail.request import body_of, client_of, headers_of
        from unbroken.cli.tail.screen import Screen

        if after is not None and store is not None:
            raise ConfigurationError("--after and --store both say where to begin: give one of them")
        body = body_of(data)
        asked = {
            "method": method or ("GET" if body is None else "POST"),
            "headers": headers_of(headers or (), body),
            "content": body,
            "last_event_id": after,
            "store": store,
            "reconnect": {None: None, True: "always", False: "never"}[reconnect],
            "max_attempts": max_attempts,
            "idle_timeout": "auto" if idle_timeout is None else idle_timeout or None,
            "end": end,
        }
        if max_event_bytes is not None:
            asked |= {"max_line_bytes": max_event_bytes, "max_event_bytes": max_event_bytes}
        screen = Screen(quiet=quiet)
        form = Form(json=as_json, time=time, coloured=screen.is_coloured)
        tail = Tail(screen, form, types=types or (), count=count, strict=strict, patient=max_attempts is not None)
        following = _follow(tail, url, asked, client_of(ca, insecure=insecure), save)
        _run(tail, screen, following, has_store=store is not None)
    raise typer.Exit(Exit.FOUND if strict and tail.gaps else Exit.CLEAN)


async def _follow(
    tail: Tail, url: str, asked: dict[str, Any], client: httpx2.AsyncClient | None, save: Path | None
) -> None:
    from unbroken.cli.tail.recording import Recording
    from unbroken.client import EventSource

    async with AsyncExitStack() as stack:
        if client is not None:
            await stack.enter_async_context(client)
        record = None if save is None else stack.enter_context(closing(Recording(save)))
        await tail.follow(EventSource(url, **asked, client=client, gaps="event", record=record, on_state=tail.changed))


def _run(tail: Tail, screen: Screen, following: Coroutine[Any, Any, None], *, has_store: bool) -> None:
    """Follow to the end. Ctrl-C is how it mostly ends, once it has begun."""
    try:
        with _noticing(screen):
            asyncio.run(following)
    except (KeyboardInterrupt, OutputLost, EventSourceError, EventStreamError) as error:
        if not has_store:
            tail.tell_place()
        if not isinstance(error, KeyboardInterrupt):
            raise _with_next_step(error, has_begun=tail.has_begun) from None
        if not tail.has_begun:
            raise


def _with_next_step(error: Exception, *, has_begun: bool) -> Exception:
    if isinstance(error, EventStreamError):
        return UnbrokenError(f"{error}; that is --max-event-bytes here")
    if isinstance(error, EventSourceError) and not has_begun:
        return UnbrokenError(f"{error}; `unbroken doctor` with the same URL looks closer")
    return error


@contextmanager
def _noticing(screen: Screen) -> Iterator[None]:
    """Show what the client logs; but of outages it is told by `Tail.changed`, more than the log has."""
    handler = _Notices(screen)
    logger = logging.getLogger("unbroken.client")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notices(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        if record.module != "trouble":
            self._screen.notice(record.getMessage(), colour="yellow")
