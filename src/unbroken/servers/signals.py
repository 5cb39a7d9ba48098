"""SIGTERM and SIGINT, heard before the server's own handlers.

Every server installs handlers of its own, and most wait for open streams before
they tell an application anything: so the signal itself is the first, and often the
only, word of a shutdown. The hook is put over whatever handler is there, calls
that in its turn, and takes itself away with the first signal: the second one,
which is to kill at once, finds everything as the server left it.

Python calls handlers on the main thread, between two instructions of whatever runs
there. So nothing is done here but to wake the event loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["hook_signals", "unhook_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

PassOn = Callable[[], None]
OnSignal = Callable[[PassOn | None], None]
"""Called on its loop. What it is given passes the signal on, and is to be called when the streams have ended; None
if it has been passed on already."""


def hook_signals(on_signal: OnSignal, *, before: bool) -> bool:
    """Have `on_signal` called on the running loop at the first SIGTERM or SIGINT of this process; once for each loop.

    With `before` the handlers that were there are called afterwards only: for a server that leaves no time.

    Returns:
        Whether it can be: only the main thread may set signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    _hook.listeners[asyncio.get_running_loop()] = on_signal
    _hook.before = _hook.before or before
    _hook.install()
    return True


def unhook_signals() -> None:
    """Put the handlers back that were there, and forget who wanted to hear. To be called on the main thread."""
    _hook.uninstall()
    _hook.listeners.clear()


class _Hook:
    def __init__(self) -> None:
        self.listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, OnSignal] = WeakKeyDictionary()
        self.before = False
        self._previous: dict[int, Any] = {}
        self._pid = 0

    def install(self) -> None:
        """Put the hook over the handlers that are there, unless it is on top already."""
        for number in SIGNALS:
            current = signal.getsignal(number)
            # A server that runs again in this process, or took up its handlers late, has put its own on top.
            # None: a handler that is not Python's; it could be neither called nor put back.
            if current != self._handle and current is not None:
                self._previous[number] = current
                signal.signal(number, self._handle)
        self._pid = os.getpid()

    def uninstall(self) -> None:
        """Take the hook away, where nobody has put another one over it."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(number)
        self.uninstall()
        # A child that was forked from here, with the handler but without the loop, hears its own signals.
        waiting = self.before and os.getpid() == self._pid and bool(self.listeners)
        if os.getpid() == self._pid:
            self._tell(_Raise(number, len(self.listeners)) if waiting else None)
        if not waiting:
            _pass_on(previous, number, frame)

    def _tell(self, pass_on: PassOn | None) -> None:
        self.before = False
        for loop, on_signal in list(self.listeners.items()):
            try:
                loop.call_soon_threadsafe(on_signal, pass_on)
            except RuntimeError:  # the loop has been closed: nothing is open on it
                if pass_on is not None:
                    pass_on()
        self.listeners.clear()


class _Raise:
    """Raises the signal again, when all loops are done with it."""

    def __init__(self, number: int, loops: int) -> None:
        self._number = number
        self._loops = loops

    def __call__(self) -> None:
        self._loops -= 1
        if self._loops == 0:
            signal.raise_signal(self._number)


def _pass_on(previous: Any, number: int, frame: FrameType | None) -> None:
    """Do what would have been done without us."""
    if callable(previous):
        previous(number, frame)
    elif previous == signal.SIG_DFL:
        with contextlib.suppress(ValueError):
            signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


_hook = _Hook()
