"""The client's end of an exchange with an application that runs in the same event loop."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from unbroken.testing.reading import Reading
from unbroken.testing.waiting import DeadlineError, where_suspended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unbroken.testing.connection import Connection
    from unbroken.wire import DecodedEvent

__all__ = ["AppFailedError", "AppStillRunningError", "DrivenStream", "StreamEnd", "StreamEndedError"]


class StreamEnd(StrEnum):
    """How an exchange ended, as its client saw it."""

    COMPLETE = "complete"
    """The whole response was received: the last message said `more_body: False`."""
    TRUNCATED = "truncated"
    """The application returned, raised or was cancelled before the response was complete."""
    DISCONNECTED = "disconnected"
    """The client itself left before the response was complete."""


class StreamEndedError(AssertionError):
    """The stream ended while something of it was awaited; the cause is what the application raised, if it did."""


class AppStillRunningError(AssertionError):
    """The application did not end in time after its client had left; the text says where it stands."""


class AppFailedError(AssertionError):
    """The application raised an error of the client's own kind, which a client would answer by reconnecting.

    The cause is that error.
    """


class DrivenStream:
    """The client's end of an exchange with an application that runs in a task of its own.

    Made by `open_stream`. Every wait has a deadline: `timeout` seconds, or else the one
    given to `open_stream`; when it passes, `DeadlineError` says what was seen instead.
    Its methods are for the tasks of the event loop it was opened in.
    """

    def __init__(self, connection: Connection, app: asyncio.Task[None], timeout: float) -> None:
        self._connection = connection
        self._app = app
        self._timeout = timeout
        self._reading = Reading(connection)
        self._comments_returned = 0
        app.add_done_callback(lambda _: connection.changes.notify())

    @property
    def status(self) -> int:
        """The response's status.

        Raises:
            StreamEndedError: The response has not started; `await started()` first.
        """
        if self._connection.status is None:
            raise self._ended_error("the response has not started")
        return self._connection.status

    @property
    def headers(self) -> dict[str, str]:
        """The response's headers so far, names in lower case; values of a repeated one are joined by a comma."""
        return self._connection.headers

    @property
    def received(self) -> bytes:
        """Every byte of the body that the client has read."""
        return bytes(self._connection.received)

    @property
    def comments(self) -> list[str]:
        """Every comment that the client has read, heartbeats among them."""
        return list(self._reading.comments())

    @property
    def retry(self) -> int | None:
        """The reconnection time that the stream asked for last, in milliseconds."""
        return self._reading.retry()

    @property
    def ended(self) -> StreamEnd | None:
        """How the exchange ended for the client, or None while it goes on."""
        if self._connection.complete:
            return StreamEnd.COMPLETE
        if self._connection.disconnected:
            return StreamEnd.DISCONNECTED
        if self._app.done() and self._connection.drained:
            return StreamEnd.TRUNCATED
        return None

    @property
    def error(self) -> BaseException | None:
        """What the application raised; None while it runs, and after it returned or was cancelled."""
        return self._app.exception() if self._app.done() and not self._app.cancelled() else None

    @property
    def has_started(self) -> bool:
        """Whether the response's status and headers are there."""
        return self._connection.status is not None

    async def started(self, timeout: float | None = None) -> None:
        """Wait until the response's status and headers are there.

        Raises:
            DeadlineError: They did not come in time.
            StreamEndedError: The application ended without them.
        """
        await self.until(lambda: self.has_started or self.ended is not None, "the response's start", timeout)
        if not self.has_started:
            raise self._ended_error("the response never started")

    async def next_event(self, timeout: float | None = None) -> DecodedEvent:
        """Return the next event, in the order of the stream.

        Raises:
            DeadlineError: No event came in time.
            StreamEndedError: The stream ended before one came.
        """
        return (await self.events(1, timeout))[0]

    async def events(self, count: int, timeout: float | None = None) -> list[DecodedEvent]:
        """Return the next `count` events; the deadline is for all of them together.

        Raises:
            DeadlineError: Fewer came in time; those are kept for the next call.
            StreamEndedError: The stream ended before all of them came.
        """
        what = "an event" if count == 1 else f"{count} events"
        await self.until(lambda: len(self._reading.events()) >= count or self.ended is not None, what, timeout)
        if len(self._reading.events()) < count:
            raise self._ended_error(f"{what} did not come")
        return [self._reading.events().popleft() for _ in range(count)]

    async def next_comment(self, timeout: float | None = None) -> str:
        """Return the next comment, which most often is a heartbeat.

        Raises:
            DeadlineError: No comment came in time.
            StreamEndedError: The stream ended before one came.
        """
        here = self._comments_returned
        await self.until(lambda: len(self.comments) > here or self.ended is not None, "a comment", timeout)
        if len(self.comments) <= here:
            raise self._ended_error("a comment did not come")
        self._comments_returned += 1
        return self.comments[here]

    async def until_end(self, timeout: float | None = None) -> list[DecodedEvent]:
        """Wait for the end of the stream, whichever it is, and return the events up to it; `ended` tells how.

        Raises:
            DeadlineError: The stream went on; its events are kept for the next call.
        """
        await self.until(lambda: self.ended is not None, "the end of the stream", timeout)
        events = list(self._reading.events())
        self._reading.events().clear()
        return events

    async def until(
        self, condition: Callable[[], bool], what: str = "a condition", timeout: float | None = None
    ) -> None:
        """Wait until `condition()` holds; it is asked again after everything that the stream does.

        Raises:
            DeadlineError: It did not hold in time; the text calls it `what`.
        """
        limit = self._timeout if timeout is None else timeout
        if not await self._connection.changes.until_deadline(condition, limit):
            raise DeadlineError(f"{what} did not come within {limit:g} s; {self._seen()}")

    def __aiter__(self) -> Self:
        """Iterate over the events until the stream ends, each under the deadline of its own."""
        return self

    async def __anext__(self) -> DecodedEvent:
        """Return the next event; stop when the response is complete or the client has left.

        Raises:
            DeadlineError: No event came in time.
            StreamEndedError: The stream was truncated.
        """
        await self.until(lambda: bool(self._reading.events()) or self.ended is not None, "an event")
        if self._reading.events():
            return self._reading.events().popleft()
        if self.ended is StreamEnd.TRUNCATED:
            raise self._ended_error("the stream was truncated")
        raise StopAsyncIteration

    async def disconnect(self) -> None:
        """Leave: `receive` gives `http.disconnect` from now on, and `send` discards or raises."""
        self._leave()
        await asyncio.sleep(0)

    def freeze(self) -> None:
        """Stop reading: `send` suspends once `buffer_messages` messages wait."""
        self._connection.freeze()

    def thaw(self) -> None:
        """Read on after `freeze`."""
        self._connection.thaw()

    async def cancel(self) -> None:
        """Cancel the application's task once, as a server does that shuts down; do not wait for its end."""
        self._app.cancel()
        await asyncio.sleep(0)

    async def wait_closed(self, timeout: float | None = None) -> None:
        """Wait for the application to end, in whichever way; the client does not leave by this.

        Raises:
            AppStillRunningError: It did not end in time.
        """
        limit = self._timeout if timeout is None else timeout
        if not await self._connection.changes.until_deadline(self._app.done, limit):
            raise AppStillRunningError(f"the application did not end within {limit:g} s; {self._seen()}")

    async def _end_app(self) -> AppStillRunningError | None:
        """Leave, and wait for the application; cancel it if it does not end, and return the complaint."""
        self._leave()
        try:
            await self.wait_closed()
        except AppStillRunningError as complaint:
            self._app.cancel()
            await asyncio.wait([self._app], timeout=self._timeout)
            if not self._app.done():
                complaint.add_note("It was cancelled, and did not end then either: its task is left behind.")
            return complaint
        finally:
            self._app.cancel()  # for when this wait itself was cancelled; a task that is done does not mind
        return None

    def _leave(self) -> None:
        if self.ended is None:
            self._connection.disconnect()

    def _ended_error(self, what: str) -> StreamEndedError:
        error = StreamEndedError(f"{what}; {self._seen()}")
        error.__cause__ = self.error
        return error

    def _seen(self) -> str:
        parts = (self._seen_of_response(), self._seen_of_app(), *self._seen_of_client())
        return "; ".join(parts)

    def _seen_of_response(self) -> str:
        if self._connection.status is None:
            return "the response has not started"
        return (
            f"status {self._connection.status}, content-type {self.headers.get('content-type')}, ended: {self.ended}, "
            f"{self._reading}, {len(self._connection.received)} bytes that end in {self.received[-60:]!r}"
        )

    def _seen_of_app(self) -> str:
        if not self._app.done():
            return f"the application waits in {where_suspended(self._app)}"
        if self._app.cancelled():
            return "the application was cancelled"
        return f"the application raised {self.error!r}" if self.error else "the application returned"

    def _seen_of_client(self) -> Iterator[str]:
        if self._connection.overflowed:
            yield "the client stopped reading: the body is beyond max_received_bytes"
        elif self._connection.frozen:
            yield "the client is frozen"
