"""Refusing a file to a process that was forked from one which has it open.

SQLite keeps a table of its locks for each process and file, and a fork inherits it: the child believes that it holds
locks which only its parent has. When the parent closes, it counts as the file's last user, and takes the
journal away under the child, with all that the child was acknowledged (sqlite.org/howtocorrupt.html, 2.6).
"""

from __future__ import annotations

import os
import threading
from collections import Counter

from unbroken.errors import LogUnavailable
from unbroken.logs.sqlite.place import Place

__all__ = ["note_closed", "note_opened", "refuse_inherited"]

Identity = tuple[int, int]

_open: Counter[tuple[int, Identity]] = Counter()
"""By process and file; a fork takes its parent's entries along."""
_lock = threading.Lock()


def refuse_inherited(place: Place) -> None:
    """Let nobody open a file that was open when this process was forked.

    Raises:
        LogUnavailable: it was.
    """
    identity = place.identity()
    if any(pid != os.getpid() and found == identity for pid, found in tuple(_open)):
        raise LogUnavailable(
            f"the log {place.path} was open in the process that this one was forked from, and SQLite's locks do not "
            "work then: start processes by spawn or forkserver, or fork before the hub is opened"
        )


def note_opened(place: Place) -> Identity | None:
    """Note that this process has the file open, and return what `note_closed` wants."""
    identity = place.identity()
    if identity is not None:
        with _lock:
            _open[os.getpid(), identity] += 1
    return identity


def note_closed(identity: Identity | None) -> None:
    """Note that it has closed the file."""
    if identity is None:
        return
    with _lock:
        key = (os.getpid(), identity)
        _open[key] -= 1
        if not _open[key]:
            del _open[key]
