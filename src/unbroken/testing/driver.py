"""Drives an ASGI application from a test: reads its event stream as it comes, and leaves in every way a client can."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from unbroken.testing.connection import ASGIApp, ClientGoneError, Connection, Scope
from unbroken.testing.driven_stream import DrivenStream
from unbroken.testing.request import Headers, build_scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["open_stream"]

TIMEOUT: Final = 5.0
BUFFER_MESSAGES: Final = 16
"""About what granian queues (ten messages); other servers count bytes, 64 KiB of them."""
MAX_RECEIVED_BYTES: Final = 16 * 1024 * 1024


@contextlib.asynccontextmanager
async def open_stream(
    app: ASGIApp,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Headers = (),
    query: str | Mapping[str, str] = "",
    body: bytes = b"",
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    scope: Mapping[str, Any] | None = None,
    spec_version: str = "2.3",
    send_raises: bool = False,
    buffer_messages: int = BUFFER_MESSAGES,
    max_received_bytes: int = MAX_RECEIVED_BYTES,
    timeout: float = TIMEOUT,
    wait_for_start: bool = True,
    raise_app_errors: bool = True,
) -> AsyncIterator[DrivenStream]:
    """Open an event stream of an ASGI application in this process, and read it while the application runs.

    Any ASGI application will do, so also a single response object. It runs in an asyncio
    task of its own, as under a server. Leaving the context disconnects, waits for the
    application's end and cancels it if it does not come, so that no task is left.

    Example:
        async with open_stream(app, "/clock") as stream:
            assert (await stream.next_event()).event == "tick"

    Args:
        app: The application, called with a scope of HTTP/1.1.
        path: The path alone, percent-encoded where needed.
        method: The request's method.
        headers: Added to `host` and `accept`, which they may replace.
        query: What follows the `?`, ready or as a mapping to encode.
        body: The request's body, given to the application in one message.
        client: The client's address as the application sees it, or None.
        scope: Keys that are added to the scope or replace some of it.
        spec_version: The version of ASGI's HTTP part that the server declares; 2.3 as
            most of today's do.
        send_raises: `send` raises `OSError` after the client has left, which ASGI 2.4
            asks for and no server of today does; by default it returns silently.
        buffer_messages: Messages that `send` takes without waiting for the client; 16 by
            default. With 0 each `send` suspends until the client has read.
        max_received_bytes: The client stops reading beyond that; 16 MiB by default.
        timeout: Seconds for each wait that is given no other; 5 by default.
        wait_for_start: Wait for the status and the headers before the context is entered.
        raise_app_errors: Raise what the application raised when the context is entered or left.

    Raises:
        ConfigurationError: `path` is none.
        DeadlineError: The response did not start in time.
        AppStillRunningError: The application did not end in time after the client had left.
    """
    request = build_scope(
        path, method=method, headers=headers, query=query, body=body, client=client, spec_version=spec_version
    )
    connection = Connection(
        body, send_raises=send_raises, buffer_messages=buffer_messages, max_received_bytes=max_received_bytes
    )

    serving = asyncio.create_task(_serve(app, request | dict(scope or {}), connection), name=f"app {method} {path}")
    stream = DrivenStream(connection, serving, timeout)
    async with _ending(stream, raise_app_errors=raise_app_errors):
        if wait_for_start:
            await stream.until(lambda: stream.has_started or stream.ended is not None, "the response's start")
        if raise_app_errors and not stream.has_started and stream.error is not None:
            raise stream.error
        yield stream


async def _serve(app: ASGIApp, scope: Scope, connection: Connection) -> None:
    # A server that raises out of `send` takes its own exception back without a word.
    with contextlib.suppress(ClientGoneError):
        await app(scope, connection.receive, connection.send)


@contextlib.asynccontextmanager
async def _ending(stream: DrivenStream, *, raise_app_errors: bool) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        # The test's own failure is what to show first; an application that hangs is a note to it.
        if complaint := await stream._end_app():
            error.add_note(str(complaint))
        raise
    if complaint := await stream._end_app():
        raise complaint
    if raise_app_errors and stream.error is not None:
        raise stream.error
