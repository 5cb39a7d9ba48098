"""Driving a synchronous iterable: every step in a worker thread, the end of its stream included."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio
from anyio.lowlevel import RunVar

from unbroken.stream.producer import Sink
from unbroken.stream.threads import in_daemon_thread

__all__ = ["ThreadedProducer"]

logger = logging.getLogger("unbroken")

THREADS = 100
"""Worker threads that the synchronous streams of one event loop may occupy at once. They are not taken from anyio's
40, which serve the application's synchronous endpoints: a stream that blocks holds its thread as long as it lasts.
Further streams wait for a thread; their heartbeats go on meanwhile.

A generator that blocks for ever gives its place back when its stream has ended and is waited for no more, but keeps its
thread, a daemon: such threads are not bounded by this number. Give the call that blocks a timeout,
and yield a comment when that is over: a generator learns of the end at a yield."""

DISCARD_EAGERLY = 32
DISCARD_PAUSE = 0.01
"""Seconds between two steps of a generator that goes on yielding to nobody, after the first 32."""

END = object()
"""What a step gives when there is nothing more: a StopIteration cannot travel through a future."""

_limiter: RunVar[anyio.CapacityLimiter] = RunVar("unbroken_threads")


class ThreadedProducer:
    """Drives one synchronous iterable for one stream.

    A thread cannot be interrupted: a `next()` in flight is waited for, and where
    nobody waits any more, the same thread closes the generator behind it.
    """

    __slots__ = ("_encode", "_iterator", "_killed", "_queued", "_sink", "_source", "_task", "_untold")

    def __init__(self, source: Iterable[object], sink: Sink, encode: Callable[[Any], bytes]) -> None:
        self._source = source
        self._sink = sink
        self._encode = encode
        self._iterator: Iterator[object] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._queued = False
        self._untold = False
        self._killed = False

    async def run(self) -> None:
        """Produce to the end, or raise what the generator raised."""
        self._task = asyncio.current_task()
        thrown: BaseException | None = None
        try:
            while (item := await self._in_thread(self._advance, thrown)) is not END:
                if isinstance(item, _Raised):
                    raise item.take()
                thrown = None
                thrown = await self._take(item) or self._to_tell()
        except asyncio.CancelledError:
            self._killed = True
            raise
        finally:
            thrown = self._task = None
            if self._killed:
                # On no loop's time: whoever cancelled this task will not wait for another of its awaits.
                in_daemon_thread(self._close)

    def interrupt(self) -> None:
        """Have the stream's end raised at the yield that the generator comes to next, or stands at."""
        self._untold = True
        if self._queued and self._task is not None:
            self._task.cancel()

    def kill(self) -> None:
        """Wait no longer: close the generator, by its own thread if that is still inside of it."""
        self._killed = True
        if self._task is not None:
            self._task.cancel()

    async def _take(self, item: object) -> Exception | None:
        """Encode and write an item; what cannot be encoded is for the yield that gave it."""
        try:
            frame = self._encode(item)
        except Exception as exc:  # noqa: BLE001
            return exc
        rest = self._sink.write_items(frame, 1)
        if rest is not None:
            await rest
        if self._sink.discarded > DISCARD_EAGERLY:
            await asyncio.sleep(DISCARD_PAUSE)
        return None

    def _to_tell(self) -> BaseException | None:
        if not self._untold:
            return None
        self._untold = False
        return self._sink.closing()

    async def _in_thread(self, function: Callable[..., object], *arguments: object) -> object:
        limiter = _shared_limiter()
        borrowed = await self._borrow(limiter)
        try:
            return await in_daemon_thread(function, *arguments)
        finally:
            if borrowed:
                limiter.release_on_behalf_of(self)

    async def _borrow(self, limiter: anyio.CapacityLimiter) -> bool:
        """Wait for a thread to be free. An ending stream waits for none: its cleanup must not depend on others."""
        if self._sink.closing() is not None:
            return False
        self._queued = True
        try:
            await limiter.acquire_on_behalf_of(self)
        except asyncio.CancelledError:
            if self._killed or not self._untold or self._task is None:
                raise
            self._task.uncancel()
            return False
        finally:
            self._queued = False
        return True

    # In a worker thread, one at a time.

    def _advance(self, thrown: BaseException | None) -> object:
        try:
            if self._iterator is None:
                self._iterator = iter(self._source)
            return next(self._iterator) if thrown is None else self._throw(self._iterator, thrown)
        except StopIteration:
            return END
        except Exception as exc:  # noqa: BLE001 - raised again where it is awaited
            return _Raised(exc)
        finally:
            thrown = None  # its traceback leads to this frame
            if self._killed:
                self._close()

    def _throw(self, iterator: Iterator[object], thrown: BaseException) -> object:
        try:
            if hasattr(iterator, "throw"):
                return iterator.throw(thrown)  # a generator's
            self._close()
            return END
        finally:
            del thrown

    def _close(self) -> None:
        close = getattr(self._iterator, "close", None)
        try:
            if close is not None:
                close()
        except Exception as exc:
            # "generator already executing": its thread sees `_killed` when it comes out of there, and closes it.
            if not (isinstance(exc, ValueError) and getattr(self._iterator, "gi_running", False)):
                logger.exception("the cleanup of a stream's generator failed")


def _shared_limiter() -> anyio.CapacityLimiter:
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(THREADS)
        _limiter.set(limiter)
    return limiter


class _Raised:
    """What a step raised, carried over by hand: a future would refer to it, and its traceback to the future."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error

    def take(self) -> Exception:
        """Return it, and refer to it no longer."""
        error, self._error = self._error, None
        assert error is not None
        return error
