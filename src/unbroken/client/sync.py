"""`SyncEventSource`: an event stream as an ordinary iterator."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from unbroken.client.answer import refusal_of
from unbroken.client.reader import Reader
from unbroken.client.session import Session
from unbroken.client.steps import Connect, Read, Stop, Wait
from unbroken.client.sync_connection import SyncConnection
from unbroken.client.typed import Parse, parser_of
from unbroken.errors import ConfigurationError, EventSourceError
from unbroken.wire import DecodedEvent

__all__ = ["SyncEventSource"]

T = TypeVar("T")


class SyncEventSource(Reader):
    """Read an event stream without `async`; all else is as with `EventSource`, the arguments too.

        with SyncEventSource("https://example.com/feed", store="feed.cursor") as events:
            for event in events:
                print(event.event, event.json())

    `client` is a `Client` of httpx2 or httpx, and hooks are plain functions. The watchdog is the time limit of the
    client's sockets: over HTTP/2 the traffic of another stream on the same connection keeps it quiet, and a transport
    that knows no time limits has none. One thread reads; `close` may be called by any.

    Raises:
        ConfigurationError: An argument is out of its range, or a hook is asynchronous.
        EventSourceError: When entered or iterated: the stream is not to be had; see the classes below it.
        EventStreamError: When iterated: a line or an event is beyond its bound.
        StreamGap: When iterated: events are gone.
        MissingExtraError: When entered without a client: httpx2 is not installed.
    """

    _now = staticmethod(time.monotonic)
    _connection: SyncConnection

    def __enter__(self) -> Self:
        """Connect, and wait until the stream is open, or until there is none."""
        self._refuse_second_entry()
        restored = None if self._store is None else _plain(self._store.load(), "store")
        self._connection = SyncConnection(self._client, self._auth, self._shown_url, self._closing)
        session = self._begin(restored)
        try:
            while isinstance(session.step, Connect | Wait):
                self._advance(session)
            if not session.stats.connections:  # or it is raised behind the events
                self._raise_error(session)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disconnect. Without an exception the last event that was given counts as handled."""
        try:
            if error is None:
                self._save(self._entered)
        finally:
            self._end()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DecodedEvent:
        session = self._entered
        if self._store is not None:
            self._save(session)
        while self._closing.is_set() or not session.ready:
            if isinstance(session.step, Stop):
                self._raise_error(session)
                raise StopIteration
            self._advance(session)
        return session.take()

    def json(self, model: Any = None, *, models: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Return an iterator over the data of the events, parsed; see `EventSource.json`."""
        return _Values(self, parser_of(model, models))

    def close(self) -> None:
        """Let iterating end, also where it waits for an event or to connect again.

        Any thread may call it, any number of times. What is not woken by it ends by its own time limit: an attempt to
        connect, and a wait for the answer on a connection that was used before. Over HTTP/2 the streams of other
        readers of the same client break with it, and are connected again.
        """
        self._closing.set()
        if self._session is not None:
            self._connection.wake()

    # The steps

    def _advance(self, session: Session) -> None:
        try:
            self._do(session)
        except BaseException:
            # Ctrl-C, for instance: a body that was left in the middle of a read cannot be read on.
            session.interrupted()
            self._connection.let_go()
            raise

    def _do(self, session: Session) -> None:
        self._close_if_asked(session)
        match session.step:
            case Connect():
                self._connect(session)
            case Read(idle_timeout):
                self._read(session, idle_timeout)
            case Wait(delay):
                self._closing.wait(delay)
                session.waited()
        if not isinstance(session.step, Read):
            self._connection.let_go()
        self._tell()

    def _connect(self, session: Session) -> None:
        request = self._outgoing(session)
        if self._prepare is not None:
            _plain(self._prepare(request), "prepare")
        self._close_if_asked(session)
        if isinstance(session.step, Stop):
            return
        try:
            answer = self._connection.open(request, self._options.connect_timeout, self._answer_timeout)
        except EventSourceError as error:
            self._close_if_asked(session)
            session.failed(error)
            return
        self._close_if_asked(session)
        self.status, self.headers = answer.status, answer.headers
        if answer.is_stream:
            session.opened(answer)
        elif answer.is_end:
            session.finished()
        else:
            session.failed(refusal_of(answer, self._connection.first_bytes(), self._shown_url))

    def _read(self, session: Session, idle_timeout: float | None) -> None:
        try:
            piece = self._connection.read(idle_timeout)
        except EventSourceError as error:
            self._close_if_asked(session)
            session.failed(error)
        else:
            self._close_if_asked(session)
            session.ended() if piece is None else session.received(piece)

    def _close_if_asked(self, session: Session) -> None:
        # Whatever came of a step after `close`, it came of `close`.
        if self._closing.is_set():
            session.close()

    def _end(self) -> None:
        self._closing.set()
        self._entered.close()
        try:
            self._connection.close()
        finally:
            self._tell()

    # What is told

    def _tell(self) -> None:
        while self._session is not None and self._session.changes:
            change = self._session.changes.popleft()
            self._trouble.note(change)
            if self._on_state is not None:
                _plain(self._on_state(change), "on_state")

    def _save(self, session: Session) -> None:
        place = self._unsaved(session)
        if place is not None:
            assert self._store is not None
            _plain(self._store.save(place), "store")
            self._saved = place


class _Values:
    """Not a generator: one would be at its end after the first error."""

    __slots__ = ("_events", "_parse")

    def __init__(self, events: SyncEventSource, parse: Parse) -> None:
        self._events = events
        self._parse = parse

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._parse(next(self._events))


def _plain(value: T, name: str) -> T:
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise ConfigurationError(f"{name} is asynchronous, and SyncEventSource cannot await it: use EventSource")
    return value
