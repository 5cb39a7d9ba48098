"""`EventSource`: an event stream as an asynchronous iterator."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from unbroken.client.answer import refusal_of
from unbroken.client.connection import Connection
from unbroken.client.reader import Reader
from unbroken.client.session import Session
from unbroken.client.steps import Connect, Read, Stop, Wait
from unbroken.client.typed import Parse, parser_of
from unbroken.errors import ConfigurationError, EventSourceError
from unbroken.wire import DecodedEvent

__all__ = ["EventSource"]

AHEAD = 64
"""Events that may be there before the program wants them, and those of one more piece."""
AHEAD_BYTES = 256 * 1024
"""Bytes of which they may be."""

T = TypeVar("T")


class EventSource(Reader):
    """Read an event stream over as many connections as it takes, and never lose the place.

        async with EventSource("https://example.com/feed", store="feed.cursor") as events:
            async for event in events:
                print(event.event, event.json())

    Entering connects, and waits until the stream is open; without a bound on attempts it waits for as long as
    the server is away, and logs it (`unbroken.client`). Iterating gives each event once, in the server's order. When
    the connection breaks, falls silent, or is ended by the server, it connects again and asks for what comes behind
    the last event. A timeout around one wait for the next event loses nothing, and keeps the connection.

    Args:
        url: What to read; relative to the `base_url` of a client that has one.
        method: GET, or what the server wants; with another than GET nothing is repeated unless `reconnect` says so.
        params: Added to the query of the URL.
        headers: Added to `Accept`, `Cache-Control`, `Accept-Encoding: identity`, which they may replace.
        content: The body. So are `data`, a form, and `json`.
        data: A form as the body.
        json: Plain data that becomes JSON as the body.
        auth: As httpx2 takes it; evaluated at each connection. None leaves it to the client.
        client: An `AsyncClient` of httpx2 or httpx, with its proxies, certificates, cookies and HTTP versions. It is
            left open. By default a new one of httpx2, closed at the end.
        prepare: Called before each connection with the `OutgoingRequest`, which it may change: for a fresh token, or
            to send the last event ID in the query or the body. May be a coroutine function.
        last_event_id: Where to begin; with a store, where to begin if it has nothing.
        store: Keeps the place for when the program starts again: a path, a `MemoryStore` or `FileStore`, any object
            with `load()` and `save(id)`, or a callable that is given each id.
        reconnect: `"always"`, as a browser does, the default for GET; `"faults"`, but not when the body ended in
            good order; `"opening"`, only until the stream is open; `"never"`, the default for other methods.
        reconnect_delay: Seconds of the window from which the first delay is drawn. It doubles with each failure, and
            what the server asks for (`retry:`, `Retry-After`; up to an hour) comes first.
        max_delay: The widest window in seconds.
        max_attempts: Attempts that may fail, one after the other, before it gives up; None for no bound.
        reconnect_timeout: Seconds since the stream broke after which it gives up; None for no bound.
        retry_statuses: Status codes that are tried again; any other but 200 is an error at once.
        connect_timeout: Seconds to connect, TLS included, and to send the request.
        idle_timeout: Seconds without a byte, a heartbeat's too, after which the connection is dead. `"auto"` is three
            of the heartbeats that the server tells (`stream-heartbeat`), else 45 s. None turns the watchdog off. It
            also bounds the wait for the answer.
        end: The event that ends the stream, by its data (`"[DONE]"`) or by a callable. It is not given to the program,
            and a body that ends before it is a `StreamTruncated`.
        gaps: What becomes of a `stream-gap`: `"raise"` raises `StreamGap`, after which iterating may go on; `"event"`
            gives a `Gap` in place of an event; `"ignore"` counts it only.
        drop_duplicates: Drop what a server repeats at the beginning of a connection: events of the ID that it was
            asked for, the same in type and data.
        max_line_bytes: The longest line; 16 MiB by default, None for no bound.
        max_event_bytes: The most data of one event; 16 MiB by default, None for no bound.
        on_state: Called with each `StateChange`. May be a coroutine function.
        record: Called with each piece of the bodies as it comes, and with `b""` between two connections.

    It belongs to the event loop in which it was entered. Several tasks may iterate, where there is no store: each event
    goes to one of them.

    Raises:
        ConfigurationError: An argument is out of its range.
        EventSourceError: When entered or iterated: the stream is not to be had; see the classes below it.
        EventStreamError: When iterated: a line or an event is beyond its bound.
        StreamGap: When iterated: events are gone.
        MissingExtraError: When entered without a client: httpx2 is not installed.
    """

    _connection: Connection
    _reading: asyncio.Task[None] | None = None
    _closing_task: asyncio.Task[None] | None = None
    _hook_error: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Connect, and wait until the stream is open, or until there is none."""
        self._refuse_second_entry()
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._waiters = list[asyncio.Future[None]]()
        self._wanted = asyncio.Event()
        self._bytes_wanted = 0
        restored = None if self._store is None else await _awaited(self._store.load())
        self._connection = Connection(self._client, self._auth, self._shown_url)
        session = self._begin(restored)
        try:
            while isinstance(session.step, Connect | Wait):
                await self._advance()
                self._raise_hook_error()
            if not session.stats.connections:  # or it is raised behind the events
                self._raise_error(session)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disconnect. Without an exception the last event that was given counts as handled."""
        try:
            if error is None:
                await self._save(self._entered)
        finally:
            await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DecodedEvent:
        session = self._entered
        if self._store is not None:
            await self._save(session)
        while not session.ready:
            self._raise_hook_error()
            if isinstance(session.step, Stop):
                await self._connection.finish()
                self._raise_error(session)
                raise StopAsyncIteration
            await self._advance()
        return session.take()

    def json(self, model: Any = None, *, models: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        """Return an iterator over the data of the events, parsed.

        It may be used beside the plain one, and goes on after an error. A `Gap` that is to be an event comes as it is.

        Args:
            model: What pydantic makes of the data: a model, a dataclass, a `TypedDict`, any type. None for plain JSON.
            models: The same for each event type that has one of its own.

        Raises:
            EventDataError: Raised while iterating: an event's data is no JSON, or does not have its model's form.
            ConfigurationError: A model is none that pydantic knows.
            MissingExtraError: There are models, and no pydantic.
        """
        return _Values(self, parser_of(model, models))

    async def aclose(self) -> None:
        """Disconnect for good; iterating ends. Any task of the same loop may call it, any number of times.

        It goes on to its end when the caller is cancelled.
        """
        if self._session is None:
            return
        self._session.close()
        if self._reading is asyncio.current_task():
            return  # called by a hook: the rest is done when the context is left
        if self._closing_task is None:
            self._closing_task = asyncio.create_task(self._close(), name=f"EventSource {self._shown_url}")
        await asyncio.shield(self._closing_task)

    async def _close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._wake()
        try:
            await self._connection.aclose()
        finally:
            await self._tell()

    # The steps

    async def _advance(self) -> None:
        """Wait until there is something to take: events, another state, or an error of the program's own hooks."""
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("an EventSource is read on the event loop on which it was entered")
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_on(self._entered), name=f"EventSource {self._shown_url}")
        self._bytes_wanted = self._entered.stats.bytes
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._wanted.set()
        await waiter

    async def _read_on(self, session: Session) -> None:
        # A task of its own, so that a caller's timeout around a wait for the next event breaks off the wait, and not
        # the connection. It is ahead of the program by a few events, so that pieces which are there already cost no
        # turn of the loop each; it connects when more is wanted, and not before.
        pieces = 0
        try:
            while not isinstance(session.step, Stop):
                pieces += 1
                was_reading = isinstance(session.step, Read)
                if not was_reading or self._is_far_ahead(session):
                    await self._wanted.wait()
                elif pieces % AHEAD == 0:
                    await asyncio.sleep(0)  # pieces that hold no events must not keep the loop
                await self._do_or_note(session)
                if session.ready or self._hook_error or not (was_reading and isinstance(session.step, Read)):
                    self._wake()
        finally:
            self._wake()

    def _is_far_ahead(self, session: Session) -> bool:
        behind = session.stats.bytes - self._bytes_wanted
        return bool(session.ready) and (len(session.ready) >= AHEAD or behind >= AHEAD_BYTES)

    async def _do_or_note(self, session: Session) -> None:
        try:
            await self._do(session)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Of the program's own hooks: it is raised where it reads.
            if isinstance(session.step, Stop) and isinstance(error, asyncio.CancelledError):
                raise  # of ours
            session.interrupted()
            await self._connection.let_go()
            self._hook_error = self._not_cancelled(error)
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise  # by who ends the loop, for instance

    def _not_cancelled(self, error: BaseException) -> BaseException:
        # A hook's own cancellation, or one of this task by somebody else. Raised as it is, it would look like that of
        # the task that reads.
        if not isinstance(error, asyncio.CancelledError):
            return error
        broken = EventSourceError(f"{self._shown_url}: a hook was cancelled, or the task that reads")
        broken.__cause__ = error
        return broken

    def _wake(self) -> None:
        self._wanted.clear()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():  # cancelled
                waiter.set_result(None)

    async def _do(self, session: Session) -> None:
        match session.step:
            case Connect():
                await self._connect(session)
            case Read(idle_timeout):
                await self._read(session, idle_timeout)
            case Wait(delay):
                await asyncio.sleep(delay)
                session.waited()
        if not (isinstance(session.step, Read) or session.is_complete):
            await self._connection.let_go()
        await self._tell()

    async def _connect(self, session: Session) -> None:
        request = self._outgoing(session)
        if self._prepare is not None:
            await _awaited(self._prepare(request))
        if isinstance(session.step, Stop):
            return  # it was closed in there
        try:
            answer = await self._connection.open(request, self._options.connect_timeout, self._answer_timeout)
        except EventSourceError as error:
            session.failed(error)
            return
        self.status, self.headers = answer.status, answer.headers
        if answer.is_stream:
            session.opened(answer)
        elif answer.is_end:
            session.finished()
        else:
            session.failed(refusal_of(answer, await self._connection.first_bytes(), self._shown_url))

    async def _read(self, session: Session, idle_timeout: float | None) -> None:
        try:
            piece = await self._connection.read(idle_timeout)
        except EventSourceError as error:
            session.failed(error)
        else:
            session.ended() if piece is None else session.received(piece)

    def _raise_hook_error(self) -> None:
        error, self._hook_error = self._hook_error, None
        if error is not None:
            raise error

    # What is told

    async def _tell(self) -> None:
        while self._session is not None and self._session.changes:
            change = self._session.changes.popleft()
            self._trouble.note(change)
            if self._on_state is not None:
                await _awaited(self._on_state(change))

    async def _save(self, session: Session) -> None:
        place = self._unsaved(session)
        if place is not None:
            assert self._store is not None
            await _awaited(self._store.save(place))
            self._saved = place


class _Values:
    """Not a generator: one would be at its end after the first error."""

    __slots__ = ("_events", "_parse")

    def __init__(self, events: EventSource, parse: Parse) -> None:
        self._events = events
        self._parse = parse

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return self._parse(await anext(self._events))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _awaited(value: T | Awaitable[T]) -> T:
    return await value if inspect.isawaitable(value) else value
