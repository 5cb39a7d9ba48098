"""A way in which a cause shows in a log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["Needs", "Seen", "Signature"]


class Seen(Enum):
    """Where a signature is looked for."""

    LINE = "line"
    """In any line."""
    BY_SERVER = "by server"
    """In an exception that a server's or framework's own code raised."""
    BY_ANYONE = "by anyone"
    """In an exception of a traceback, and in those it was raised from."""
    BY_CLIENT = "by client"
    """In an exception that code which reads a stream raised."""


class Needs(Enum):
    """What must be known besides, so that it speaks of a stream."""

    NOTHING = "nothing"
    STREAM = "stream"
    """That the code, the route or the line is about a stream."""
    NAME = "name"
    """The same, where a body that was under way shows already: of the route a name that many streams have is enough."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One way in which a cause shows."""

    cause: str
    """The cause's id."""
    text: str
    """As people search for it."""
    source: str
    """Who writes it."""
    pattern: re.Pattern[str]
    """What is looked for, in the line or in `Type: message`."""
    seen: Seen = Seen.LINE
    needs: Needs = Needs.NOTHING
