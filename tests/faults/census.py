"""What a server process holds at this moment: tasks, threads, descriptors, connections."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

__all__ = ["census", "open_peers"]

OURS = ("/unbroken/", "/tests/faults/")
ADDRESS, INODE = 2, 9
"""Columns of /proc/net/tcp: the peer's address, and the inode that links a row to a descriptor."""


def census() -> dict[str, object]:
    """Count what a stream could leave behind."""
    return {
        "pid": os.getpid(),
        "tasks": sorted(_name(task) for task in asyncio.all_tasks()),
        "threads": sorted({thread.name for thread in threading.enumerate() if not _is_foreign(thread)}),
        "busy_threads": list(_threads_in_our_code()),
        "descriptors": dict(Counter(_kind(target) for target in _descriptors())),
    }


def _name(task: asyncio.Task[object]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", type(coroutine).__name__)  # the loop's own `aclose()` has no name


def open_peers() -> set[int]:
    """Return the client ports of the connections that this process holds a descriptor of.

    The kernel's table alone would not do: it lists connections of other processes, and those that
    the process has closed and the kernel is still flushing.
    """
    held = {target for target in _descriptors() if target.startswith("socket:")}
    rows = (line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
    return {int(row[ADDRESS].partition(":")[2], 16) for row in rows if f"socket:[{row[INODE]}]" in held}


def _is_foreign(thread: threading.Thread) -> bool:
    """Whether `thread` was not started by Python, but has run some: one of granian's runtime."""
    return isinstance(thread, threading._DummyThread)


def _descriptors() -> Iterator[str]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            yield str(entry.readlink())
        except FileNotFoundError:  # the listing's own descriptor
            continue


def _kind(target: str) -> str:
    return target.partition(":")[0] if ":[" in target or target.startswith("anon_inode:") else "file"


def _threads_in_our_code() -> Iterator[str]:
    """Name every thread but the loop's own that is inside the package or a generator of ours."""
    own = threading.get_ident()
    # Without the thread's own frame: that would hold itself, and the others with what they hold, for the collector.
    frames = {ident: frame for ident, frame in sys._current_frames().items() if ident != own}
    for thread in threading.enumerate():
        if thread.ident in frames:
            ours = [place for place in _places(frames[thread.ident]) if any(mark in place for mark in OURS)]
            if ours:
                yield f"{thread.name} at {ours[0]}"


def _places(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
