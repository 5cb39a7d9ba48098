"""SIGTERM and SIGINT, heard before the server's own handlers.

Every server installs handlers of its own, and most wait for open streams before
they tell an application anything: so the signal itself is the first, and often the
only, word of a shutdown. The hook is put over the handler that is there, calls
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
    _hook.listen(on_signal, before=before)
    return True


def unhook_signals() -> None:
    """Put the handlers back that were there, and forget who wanted to hear. Off the main thread nothing is done."""
    if threading.current_thread() is threading.main_thread():
        _uninstall()
        _hook.forget()


class _Hook:
    def __init__(self) -> None:
        self.listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, OnSignal] = WeakKeyDictionary()
        self.before = False
        self._pid = os.getpid()

    def listen(self, on_signal: OnSignal, *, before: bool) -> None:
        """Have `on_signal` called on the running loop, and see that the signals come here."""
        if self._pid != os.getpid():  # forked: the loops are the parent's, and so are those who listen
            self.forget()
        self.listeners[asyncio.get_running_loop()] = on_signal
        self.before = self.before or before
        for number in SIGNALS:
            _install(number)

    def forget(self) -> None:
        """Tell nobody."""
        self.listeners.clear()
        self.before = False
        self._pid = os.getpid()

    def tell(self, number: int) -> bool:
        """Tell the loops of a signal, and return whether they will raise it again."""
        # A child that was forked from here, with the handler but without the loops, hears its own signals.
        # A loop that does not run now has no stream that could be ended: handlers run where loops do.
        loops = {loop: told for loop, told in self.listeners.items() if loop.is_running()}
        if self._pid != os.getpid():
            loops = {}
        pass_on = _Raise(number, len(loops)) if self.before and loops else None
        self.forget()
        for loop, on_signal in loops.items():
            loop.call_soon_threadsafe(on_signal, pass_on)
        return pass_on is not None


class _Handler:
    """Our handler over another one, which it calls."""

    __slots__ = ("previous",)

    def __init__(self, previous: Any) -> None:
        self.previous = previous

    def __call__(self, number: int, frame: FrameType | None) -> None:
        _uninstall()
        if not _hook.tell(number):
            _pass_on(self.previous, number, frame)


def _install(number: int) -> None:
    """Put a handler over the one that is there, unless it is ours already.

    A server that runs again in this process, or took up its handlers late, has put its own
    on top. That may call ours, as what it found: so each of ours has one below it, and no two are the same.
    """
    current = signal.getsignal(number)
    # None: a handler that is not Python's could be neither called nor put back. SIG_IGN: nobody would shut down.
    if not isinstance(current, _Handler) and current not in (None, signal.SIG_IGN):
        signal.signal(number, _Handler(current))


def _uninstall() -> None:
    """Take our handlers away, where nobody has put another one over them."""
    for number in SIGNALS:
        current = signal.getsignal(number)
        if isinstance(current, _Handler):
            signal.signal(number, current.previous)


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
