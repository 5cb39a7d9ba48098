"""Where the events of topics are kept: the contract of a log, and a file for each kind."""

from unbroken.logs.contract import (
    Appended,
    Draft,
    Entry,
    Guarantees,
    Head,
    Listener,
    Log,
    Page,
    Retention,
    TransactionalLog,
)
from unbroken.logs.opening import open_log
from unbroken.logs.position import Position

__all__ = [
    "Appended",
    "Draft",
    "Entry",
    "Guarantees",
    "Head",
    "Listener",
    "Log",
    "Page",
    "Position",
    "Retention",
    "TransactionalLog",
    "open_log",
]
