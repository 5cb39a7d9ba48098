"""Driving an asynchronous generator: its items out, the end of its stream in.

One task, the pump, makes every step of the generator, so that a cancel scope
in its body may span yields. Where the generator stands when its stream ends
decides how it is told:

* at a `yield`: the exception is thrown there;
* at an `await`: one native cancellation of the task, so that its cleanup may
  await. An `OSError` thrown into an await would be taken for the failure of
  whatever is awaited: swallowed by retries, wrapped by task groups and clients;
* inside `while_connected()`: the same, and the scope turns it into the exception.

Items of a generator that has proved to be quick are collected while it does not
wait, and leave together when it does: a fast generator costs one write for many
items, and no item waits for anything that takes time.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator
from contextvars import ContextVar
from time import monotonic
from typing import Any, Protocol
from weakref import ref

import anyio

from unbroken.errors import StreamClosed
from unbroken.stream.stepping import Trap, outlast

__all__ = ["AsyncProducer", "Producer", "Sink", "running_producer"]

BATCH_BYTES = 16 * 1024
BATCH_ITEMS = 128
BATCH_SECONDS = 0.002
"""A batch leaves at whichever bound it meets first."""

QUICK = 0.001
"""Seconds. A step that takes longer, because the generator computes or because the loop's turn is long, is slow: what
had been collected before it has waited for it."""
PROVEN = 32
"""Quick steps in a row before anything is collected. A single slow one begins the count anew, so that a generator which
computes between its items has each of them sent before it goes on."""

DISCARD_EAGERLY = 32
DISCARD_PAUSE = 0.01
"""Seconds between two steps of a generator that goes on yielding to nobody, after the first 32: it may be a loop that
swallows every exception, and it has `cleanup_timeout` left to burn the processor with."""


running_producer: ContextVar[ref[AsyncProducer]] = ContextVar("unbroken_producer")
"""The producer in whose generator this code runs. Weakly: the loop keeps a cancelled timer, and the context in which
it was set, until its time would have come."""


class Sink(Protocol):
    """Where a producer's items go, and what it must know of the stream."""

    gone: bool
    """The client takes nothing any more."""
    discarded: int
    """Items that came when it was gone."""
    careful: bool
    """What it writes with may open scopes of its own: a shield must be around all of a write, its first step too."""

    def write_items(self, body: bytes, items: int) -> Awaitable[None] | None:
        """Hand `items` encoded items to the server; what is returned is still to be awaited."""
        ...

    def closing(self) -> StreamClosed | asyncio.CancelledError | None:
        """Make the exception that tells the producer of the stream's end, or None while it is open."""
        ...


class Producer(Protocol):
    """What an exchange drives. All methods are called on the event loop's thread."""

    def run(self) -> Awaitable[None]:
        """Produce to the end, or raise what the source raised."""
        ...

    def interrupt(self) -> None:
        """Tell the source, once, that its stream ends. It may clean up."""
        ...

    def kill(self) -> None:
        """End the source now. May be called again if it resists."""
        ...


class Scope(Protocol):
    """A `while_connected()` that the generator is inside of."""

    cancelled: bool


class AsyncProducer:
    """Drives one asynchronous iterable for one stream."""

    __slots__ = (
        "__weakref__", "_encode", "_frames", "_generator", "_message", "_owed", "_task", "_untold", "_urgent",
        "_waiting", "killed", "scopes", "sink",
    )  # fmt: skip

    def __init__(self, source: AsyncIterable[object], sink: Sink, encode: Callable[[Any], bytes]) -> None:
        self._generator = source if inspect.isasyncgen(source) else _generate(source)
        self.sink = sink
        self._encode = encode
        self._task: asyncio.Task[Any] | None = None
        self._frames: list[bytes] = []
        self._waiting = False
        self._urgent = False  # one of the next three, or `sink.gone`, wants a look: a single test per item
        self._untold = False
        self._owed = False
        self._message: str | None = None
        self.killed = False
        self.scopes: tuple[Scope, ...] = ()

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that makes the generator's steps; None before and after."""
        return self._task

    def run(self) -> Awaitable[None]:
        """Produce to the end, or raise what the generator raised. To be awaited at once, by the task that calls it."""
        self._task = asyncio.current_task()
        running_producer.set(ref(self))
        return self._drive()

    def interrupt(self) -> None:
        """Tell the generator, once, that its stream ends."""
        if self._cancellations() and isinstance(self.sink.closing(), asyncio.CancelledError):
            return  # the closing loop cancels this task, too, as it does every other: that is how it is told
        self._urgent = self._untold = True
        if self._waiting and self._task is not None:
            self._cancel(self._task)

    def kill(self) -> None:
        """Cancel the generator for good, or close it at its next yield."""
        self._urgent = self.killed = True
        if self._waiting and self._task is not None:
            self._task.cancel()

    def tell(self) -> None:
        """Note that the generator is being told. What else was to be passed on ends with it."""
        self._untold = self._owed = False

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self.tell()
        if self.scopes:
            self.scopes[-1].cancelled = True
        task.cancel()

    @types.coroutine
    def _drive(self) -> Generator[Trap, None, None]:  # noqa: C901 - the hot loop: a call per item is a tenth of its cost
        encode, advance, frames = self._encode, self._generator.__anext__, self._frames
        size, quick, leave_at, before = 0, 0, 0.0, monotonic()
        thrown: BaseException | None = None
        try:
            while True:
                # `__anext__()` and `athrow()` are stepped by hand: whether the generator suspends is what decides.
                step: Any = advance() if thrown is None else self._generator.athrow(thrown)
                thrown = None
                try:
                    trap = step.send(None)
                except StopIteration as ready:
                    item, suspended = ready.value, False
                else:
                    if monotonic() - before > QUICK:
                        quick = 0
                    item, suspended = (yield from self._wait(step, trap, quick >= PROVEN)), True
                    if not frames:
                        before = monotonic()  # all had left before it waited: how long it did is no matter
                now = monotonic()
                quick = quick + 1 if now - before <= QUICK else 0
                before = now
                try:
                    frames.append(encode(item))
                except Exception as exc:  # noqa: BLE001 - whatever it is, the yield that gave the item is to blame
                    thrown = exc
                del item  # it may be large, and the next one long in coming
                if len(frames) == 1:
                    size, leave_at = 0, now + BATCH_SECONDS
                if frames:
                    size += len(frames[-1])
                if quick < PROVEN or size >= BATCH_BYTES or len(frames) >= BATCH_ITEMS or now >= leave_at:
                    yield from self._leave()
                    if not suspended:
                        yield from self._turn()
                    before = monotonic()
                if self._urgent:
                    thrown = (yield from self._attend()) or thrown
        except (StopAsyncIteration, _Closed):
            yield from self._leave()
        except GeneratorExit:
            raise
        except BaseException:
            # What was yielded before an exception is delivered before it.
            yield from self._leave()
            raise
        finally:
            # An exception in one of these refers to this frame, which would keep both for the garbage collector.
            step = trap = thrown = None
            self._task = None

    @types.coroutine
    def _leave(self) -> Generator[Trap, None, None]:
        if self.sink.careful:
            yield from self._leave_in_shield()
        else:
            rest = self._hand_over()
            if rest is not None:
                yield from self._outlast(rest)

    @types.coroutine
    def _leave_in_shield(self) -> Generator[Trap, None, None]:
        before = self._cancellations()
        with anyio.CancelScope(shield=True):  # noqa: ASYNC100 - as in `_outlast`
            rest = self._hand_over()
            if rest is not None:
                yield from rest  # type: ignore[misc] # a types.coroutine is both
        self._note_cancellations(before, None)

    def _hand_over(self) -> Awaitable[None] | None:
        """Give the sink what has been collected, and return what of that is still to be awaited."""
        frames = self._frames
        if not frames:
            return None
        items = len(frames)
        body = frames[0] if items == 1 else b"".join(frames)
        frames.clear()
        return self.sink.write_items(body, items)

    @types.coroutine
    def _outlast(self, rest: Awaitable[None]) -> Generator[Trap, None, None]:
        before = self._cancellations()
        # A scope of anyio's cancels again at every turn of the loop until it is left. Shielded, it waits, and
        # does so when the generator runs on; an asyncio.timeout, which cancels once, is noted and passed on.
        with anyio.CancelScope(shield=True):  # noqa: ASYNC100 - `yield from` is the await here
            yield from rest  # type: ignore[misc] # a types.coroutine is both
        self._note_cancellations(before, None)

    @types.coroutine
    def _turn(self) -> Generator[Trap, None, None]:
        """Give the loop a turn: a generator that never awaits would starve it, and miss its client's leaving."""
        before = self._cancellations()
        message = yield from outlast(None)
        self._note_cancellations(before, message)

    @types.coroutine
    def _wait(self, step: Any, trap: Trap, hold: bool) -> Generator[Trap, None, Any]:
        """Send what there is, then let the generator wait for `trap`.

        A bare turn of the loop (`sleep(0)`, a checkpoint) is no wait: with `hold`, what there is stays for one.
        """
        bare = hold and trap is None
        try:
            while True:
                if not bare and not self._waiting:
                    if self._frames:
                        yield from self._leave()
                    if self._urgent:
                        self._catch_up()
                    self._waiting = True
                # `yield from` alone would resume the step at once, before what it waits for is there.
                try:
                    yield trap
                except GeneratorExit:
                    step.close()
                    raise
                except BaseException as exc:  # noqa: BLE001 - a cancellation is for the generator, whatever it is
                    trap = step.throw(exc)
                else:
                    if not bare:
                        return (yield from step)
                    trap = step.send(None)
                bare = False
        except StopIteration as ready:
            return ready.value
        finally:
            step = trap = None  # see `_drive`
            self._waiting = False

    def _catch_up(self) -> None:
        """Cancel a wait that begins when the reason to cancel it is already there.

        Cancelling the running task reaches it at its next suspension, which is this wait.
        """
        task = self._task
        assert task is not None
        if self.killed:
            task.cancel()
        elif self._untold:
            self._cancel(task)
        elif self._owed:
            self._owed = False
            task.cancel(self._message)
            task.uncancel()  # its owner has counted it already

    @types.coroutine
    def _attend(self) -> Generator[Trap, None, BaseException | None]:
        """Look after what became urgent while the generator stands at a yield."""
        yield from self._leave()
        if self.killed:
            yield from self._close()
            raise _Closed
        if self._untold:
            self.tell()
            return self.sink.closing()
        if self._owed:
            self._owed = False
            return asyncio.CancelledError() if self._message is None else asyncio.CancelledError(self._message)
        if self.sink.gone:
            yield from self._pause()
        else:
            self._urgent = self.sink.closing() is not None
        return None

    @types.coroutine
    def _pause(self) -> Generator[Trap, None, None]:
        if self.sink.discarded <= DISCARD_EAGERLY:
            yield from self._turn()
        else:
            yield from outlast(asyncio.ensure_future(asyncio.sleep(DISCARD_PAUSE)))

    @types.coroutine
    def _close(self) -> Generator[Trap, None, None]:
        self._waiting = True
        try:
            yield from self._generator.aclose().__await__()
        finally:
            self._waiting = False

    def _cancellations(self) -> int:
        return self._task.cancelling() if self._task is not None else 0

    def _note_cancellations(self, before: int, message: str | None) -> None:
        # Somebody whose scope spans the yield (a timeout in the generator's body) cancelled the task while it
        # was ours. It is passed on to the generator, where that scope stands.
        if self._cancellations() > before:
            self._urgent = self._owed = True
            self._message = message


class _Closed(Exception):  # noqa: N818 - not an error: the generator was closed by us, and its loop is left
    pass


async def _generate(source: AsyncIterable[object]) -> AsyncGenerator[object, None]:
    """Give any asynchronous iterable the shape that can be thrown into and closed."""
    iterator = aiter(source)
    try:
        async for item in iterator:
            yield item
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
