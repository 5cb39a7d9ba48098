"""The response for a route that streams a run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from unbroken.errors import LogUnavailable, RunConflict, RunNotFound, RunsClosing, TooManyRuns
from unbroken.hub.beginning import Beginning
from unbroken.hub.gap import before
from unbroken.hub.numbering import Numbering
from unbroken.hub.reading import Reading
from unbroken.hub.response import CURSOR_QUERY, HubResponse
from unbroken.logs import Log
from unbroken.observe import StreamRecord
from unbroken.runs.events import is_snapshot
from unbroken.runs.names import DATA
from unbroken.runs.options import check_choice
from unbroken.stream.exchange import Exchange
from unbroken.stream.outlet import Message, Send
from unbroken.stream.producer import Producer
from unbroken.stream.registration import OnClose

if TYPE_CHECKING:
    from unbroken.runs.presence import Readers

__all__ = ["Origin", "RunResponse", "not_found", "run_error_response", "unavailable"]

Origin = Literal["start", "snapshot", "now"]

RUN_HEADER = "stream-run"
PAGE_ENTRIES = 256
READING = Reading(on_gap="earliest")
"""An answer of which some is lost is begun anew: with its `run-start`, at which a page clears what it has."""


class RunResponse(HubResponse):
    """Stream a run to one client, from where it was, or from where it asks to begin; made by `Runs.response`."""

    def __init__(
        self,
        home: Any,
        request: Request,
        run: str,
        *,
        origin: Origin,
        readers: Readers | None,
        user: str | int | None,
        headers: Mapping[str, str] | None = None,
        on_close: OnClose | None = None,
        detach: bool = True,
        **options: Any,
    ) -> None:
        self._run = run
        check_choice("origin", origin, get_args(Origin))
        asked = request.query_params.get("from", origin)
        # Another word is one of the application's own: `/reports?from=2031-01-01` starts a run, and streams it.
        self._origin = asked if asked in get_args(Origin) else origin
        self._readers = readers
        if readers is not None:
            on_close = _with_leaving(readers, run, on_close)
        super().__init__(
            home,
            request,
            Numbering((DATA + run,), b""),
            READING,
            Beginning(backlog=None),
            None,
            detach=detach,
            user=user,
            headers={RUN_HEADER: run, **(headers or {})} if run.isascii() and run == run.strip() else headers,
            on_close=on_close,
            **options,
        )

    async def _prepare(self, scope: Message, send: Send) -> PlainTextResponse | None:
        if self._request is None or _brings_cursor(self._request):
            return await super()._prepare(scope, send)
        try:
            log = (await self._home.open()).log
            self._default = await _beginning(log, DATA + self._run, self._origin)
        except LogUnavailable:
            # Whether it can be opened at all is the hub's to answer; if so, all from the start is what loses nothing.
            self._default = Beginning(backlog=None)
        return await super()._prepare(scope, send)

    def _begin(self, request: Request) -> bool:
        is_good = super()._begin(request)
        if self._default.unreadable:
            # Where this client was is not known; that the stream has a gap is told, and all of it is there.
            self._default = replace(self._default, backlog=None)
        return is_good

    def _producer(self, exchange: Exchange) -> Producer:
        if self._readers is not None:
            self._readers.come(self._run)
        return super()._producer(exchange)


def not_found() -> Response:
    """Return the answer for a run that there is not, and for one that is another owner's: they are not told apart."""
    return PlainTextResponse("There is no such run.\n", 404, {"cache-control": "no-store"})


def unavailable() -> Response:
    """Return the answer while the log is out of reach."""
    headers = {"cache-control": "no-store", "retry-after": "5"}
    return PlainTextResponse("The log of the runs is out of reach.\n", 503, headers)


def run_error_response(request: Request, error: Exception) -> Response:
    """Answer a request that raised: `app.add_exception_handler(RunError, run_error_response)`.

    404 for `RunNotFound`, 409 for `RunConflict`, 429 for `TooManyRuns`, 503 for `RunsClosing`, and for `LogUnavailable`
    if it is registered for that, too. The text is the error's; no other owner's run is named in it.

    Raises:
        Exception: the error, if it is another one: a fault of the application.
    """
    if isinstance(error, LogUnavailable):
        return unavailable()
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), None)
    if status is None:
        raise error
    headers = {"cache-control": "no-store", **({"retry-after": "1"} if status == 503 else {})}
    return PlainTextResponse(f"{error}\n", status, headers)


_STATUSES: dict[type[Exception], int] = {RunNotFound: 404, RunConflict: 409, TooManyRuns: 429, RunsClosing: 503}


def _brings_cursor(request: Request) -> bool:
    return bool(request.headers.get("last-event-id") or request.query_params.get(CURSOR_QUERY))


async def _beginning(log: Log, topic: str, origin: str) -> Beginning:
    """Return where a reader begins that brings no cursor."""
    if origin == "start":
        return Beginning(backlog=None)
    head = await log.head(topic)
    if origin == "now":
        # Of a run that has ended, how: no reader is left without.
        return Beginning(backlog=1) if head.closed else Beginning(cursor=head.position)
    return await _from_snapshot(log, topic, head.seq)


async def _from_snapshot(log: Log, topic: str, seq: int) -> Beginning:
    """Look for the newest snapshot, from the end: without one all is read, and that is bounded."""
    while seq > 0:
        start, found = max(0, seq - PAGE_ENTRIES), None
        after = start
        while after < seq:  # a page may end before that, by its bytes
            page = await log.read(topic, after, seq - after)
            newest = next((entry for entry in reversed(page.entries) if is_snapshot(entry.payload)), None)
            found = found if newest is None else before(page.head.epoch, newest)
            after = page.entries[-1].seq if page.entries else seq
        if found is not None:
            return Beginning(cursor=found)
        seq = start
    return Beginning(backlog=None)


def _with_leaving(readers: Readers, run: str, on_close: OnClose | None) -> OnClose:
    async def closed(record: StreamRecord) -> None:
        readers.go(run, record.reason)
        told = None if on_close is None else on_close(record)
        if inspect.isawaitable(told):
            await told

    return closed
