"""`while_connected()`: the way to catch the end of the stream wherever the generator stands."""

from __future__ import annotations

import asyncio
from types import TracebackType

from unbroken.errors import ConfigurationError, StreamClosed
from unbroken.stream.producer import AsyncProducer, running_producer

__all__ = ["while_connected"]


class while_connected:  # noqa: N801 - reads as the statement it is part of, as asyncio.timeout does
    """Run a part of a stream's generator only as long as its client is there.

        try:
            async with while_connected():
                async for token in model.stream(prompt):
                    yield token
        except ConnectionResetError:
            print("the client has left")

    When the stream ends while the generator waits inside the scope, what it
    waits for is cancelled, once, and the scope raises `ClientDisconnected` or
    `ServerClosing` at its exit. At a `yield` inside the scope the same exception
    is raised by the `yield`. Task groups inside the scope are unwrapped: it
    raises the plain exception, not a group of it.

    A scope may span yields and may be nested; the innermost raises. It belongs
    to the generator's own body: a task that the generator started cannot enter it.

    Raises:
        StreamClosed: at the exit, as said; or at once, if the client has already left.
        ConfigurationError: when entered outside the generator of a stream.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self._producer: AsyncProducer | None = None
        self._cancelling = 0

    async def __aenter__(self) -> None:
        """Enter the scope."""
        reference = running_producer.get(None)
        producer = None if reference is None else reference()
        task = asyncio.current_task()
        if producer is None or task is None or producer.task is not task:
            raise ConfigurationError(
                "while_connected() was entered outside the generator of a stream: use it in the body of a generator "
                "that is returned in an EventSourceResponse, and not in a task which that generator started"
            )
        if producer.sink.gone:
            producer.tell()
            # A turn for the loop: a generator may enter the scope again and again, and do nothing else.
            await asyncio.sleep(0)
            closed = _end_of(producer)
            try:
                if closed is not None:
                    raise closed
            finally:
                del closed  # its traceback leads to this frame
        self._producer = producer
        self._cancelling = task.cancelling()
        producer.scopes = (*producer.scopes, self)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the scope; see the class."""
        producer, self._producer = self._producer, None
        assert producer is not None
        producer.scopes = tuple(scope for scope in producer.scopes if scope is not self)
        told = self._was_cancelled(producer, exc) or _is_only_closed(exc)
        del exc, traceback  # or they and this frame would keep each other
        closed = _end_of(producer) if told else None
        try:
            if closed is not None:
                raise closed from None
        finally:
            del closed

    def _was_cancelled(self, producer: AsyncProducer, exc: BaseException | None) -> bool:
        """Take our cancellation back, and say whether it is what brought us here, alone."""
        if not self.cancelled or producer.task is None:
            return False
        others = producer.task.uncancel() > self._cancelling
        return isinstance(exc, asyncio.CancelledError) and not others and not producer.killed


def _end_of(producer: AsyncProducer) -> StreamClosed | None:
    """Return the end of the stream as an exception, unless it is a cancellation from outside, which stays one."""
    closed = producer.sink.closing()
    return closed if isinstance(closed, StreamClosed) else None


def _is_only_closed(exc: BaseException | None) -> bool:
    """Whether `exc` is a task group's wrapping of nothing but the stream's end."""
    return isinstance(exc, BaseExceptionGroup) and exc.split(StreamClosed)[1] is None
