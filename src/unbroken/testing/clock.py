"""A virtual clock for asyncio: a test of a 15 s heartbeat takes a millisecond.

Time stands still while anything is ready to run, and jumps to the next timer when
nothing is. The selector is where an event loop waits, so the selector is where waiting is
replaced; of the loop itself only public methods are overridden.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Executor

__all__ = ["VirtualClock", "run_with_virtual_clock"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

IO_GRACE: Final = 0.01
"""Real seconds that a watched socket is given before time jumps.

What one side of a loopback connection wrote is nearly always readable at once on the
other, but a busy kernel may deliver it a moment later. A loop without sockets pays nothing.
"""


class VirtualClock:
    """The time of one event loop: it jumps from timer to timer instead of passing.

    Virtual is what comes from the loop: `loop.time()`, `asyncio.sleep`, `asyncio.timeout`,
    `call_later`, anyio's deadlines. `time.time()` and `time.monotonic()` stay real.

    Work in a thread takes real time, so while some is in flight time passes at its real
    speed and does not jump. Work in flight is seen when it was started by `asyncio.to_thread`,
    `loop.run_in_executor`, or `anyio.to_thread.run_sync` with anyio's default limiter (as
    Starlette runs plain functions). Anything else that answers from outside of the loop (a
    thread of your own, another process, a remote peer) is not seen: wrap it in `hold()`.

    Args:
        io_grace: Real seconds to wait for a socket before each jump, when the loop watches
            any; 0.01 by default.
    """

    def __init__(self, *, io_grace: float = IO_GRACE) -> None:
        self._io_grace = io_grace
        self._now = 0.0
        self._held = 0
        self._anyio_limiter: anyio.CapacityLimiter | None = None

    def time(self) -> float:
        """Return the virtual seconds since the clock was made; the loop's `time()` is the same."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move time forward at once, as for a machine that was asleep; callable from the loop's thread.

        Timers that became due run in the loop's next turn. This is how a test passes time
        while a thread is at work, when nothing jumps.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not run backwards: advance({seconds!r})")
        self._now += seconds

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let time pass at its real speed inside, for work that the clock cannot see."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in a new event loop that lives by this clock, as `asyncio.run` would.

        Raises:
            RuntimeError: An event loop is already running in this thread.
        """
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(self._with_anyio_seen(main))

    async def _with_anyio_seen(self, main: Coroutine[Any, Any, T]) -> T:
        # anyio starts its threads without the loop's knowledge; only its limiter counts them.
        # It belongs to the loop and can be asked for only from a task.
        self._anyio_limiter = anyio.to_thread.current_default_thread_limiter()
        try:
            return await main
        finally:
            self._anyio_limiter = None

    def _passes_really(self) -> bool:
        limiter = self._anyio_limiter
        return self._held > 0 or (limiter is not None and limiter.borrowed_tokens > 0)


def run_with_virtual_clock(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new `VirtualClock` and return its result.

    Inside, `asyncio.get_running_loop().time()` tells the virtual seconds since the start.
    """
    return VirtualClock().run(main)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._clock.time()

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        held = contextlib.ExitStack()
        held.enter_context(self._clock.hold())
        future.add_done_callback(lambda _: held.close())
        return future

    async def shutdown_default_executor(self, *timeout: Any, **named: Any) -> None:
        # From 3.12 on it waits for a thread of its own under a deadline, which a jump would miss.
        with self._clock.hold():
            await super().shutdown_default_executor(*timeout, **named)


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._clock._passes_really():
            return self._wait_really(timeout)
        if timeout is None:
            # No timer is pending: only a socket, a signal or a thread can bring the loop on.
            return super().select(None)
        return self._arrived_within_grace() or self._jump(timeout)

    def _wait_really(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        ready = super().select(timeout)
        passed = time.monotonic() - began
        self._clock.advance(passed if timeout is None or ready else max(passed, timeout))
        return ready

    def _arrived_within_grace(self) -> list[tuple[selectors.SelectorKey, int]]:
        watches_sockets = len(self.get_map()) > 1  # one is the loop's own, by which threads wake it
        return super().select(self._clock._io_grace) if watches_sockets else []

    def _jump(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        self._clock.advance(seconds)
        return []
