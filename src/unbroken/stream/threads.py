"""Daemon threads for what may block for ever: the process ends without them.

anyio's worker threads and those of an executor are waited for when the interpreter
exits. A synchronous generator that reads from a queue or a socket may be in
there for good: its server would have shut down, and its process would still hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue

__all__ = ["in_daemon_thread"]

MAX_IDLE_TIME = 10.0
"""Seconds after which a thread that has nothing to do ends."""


def in_daemon_thread(function: Callable[..., object], *arguments: object) -> asyncio.Future[object]:
    """Call `function` in a thread, in a copy of this context, and return a future of the running loop.

    Cancelling the future leaves the thread at its work. How many run at once is the caller's to bound.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()
    _pool.submit(_Work(partial(copy_context().run, function, *arguments), loop, future))
    return future


class _Work:
    __slots__ = ("_call", "_future", "_loop")

    def __init__(
        self, call: Callable[[], object], loop: asyncio.AbstractEventLoop, future: asyncio.Future[object]
    ) -> None:
        self._call: Callable[[], object] | None = call
        self._loop = loop
        self._future = future

    def do(self) -> None:
        """Make the call, and hand the outcome over."""
        call, self._call = self._call, None
        assert call is not None
        result, error = None, None
        try:
            result = call()
        except BaseException as exc:  # noqa: BLE001 - raised again where the future is awaited
            error = exc
        # Before the loop hears of it: what ends there must not find its generator still held here.
        del call
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, self._future, result, error)


def _settle(future: asyncio.Future[object], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class _Pool:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Work]] = []
        self._pid = os.getpid()

    def submit(self, work: _Work) -> None:
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc] # a fork has the list, and none of the threads
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = SimpleQueue()
            threading.Thread(target=self._run, args=(inbox,), name="unbroken worker thread", daemon=True).start()
        inbox.put(work)

    def _run(self, inbox: SimpleQueue[_Work]) -> None:
        while (work := self._next(inbox)) is not None:
            work.do()
            del work  # or an idle thread would keep its last result
            with self._lock:
                self._idle.append(inbox)

    def _next(self, inbox: SimpleQueue[_Work]) -> _Work | None:
        try:
            return inbox.get(timeout=MAX_IDLE_TIME)
        except Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
            return inbox.get()  # it has been taken out to be given work just now


_pool = _Pool()
