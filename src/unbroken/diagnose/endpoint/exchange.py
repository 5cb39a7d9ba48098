"""What comes back for a request, whichever HTTP it comes by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["Arrival", "End", "Ended", "Exchange", "Head", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready to be sent. The names of its headers are lower case."""

    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A response's status and headers."""

    status: int
    http_version: str
    headers: tuple[tuple[str, bytes], ...]
    """In the order of the wire, the names in lower case."""

    def get(self, name: str) -> str | None:
        """Return a header's value; several of them joined by a comma, None if there is none."""
        values = [value.decode("latin-1").strip() for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


class End(StrEnum):
    """How a response ended."""

    COMPLETE = "complete"
    """In good order, and visibly so."""
    CLOSED = "closed"
    """With the connection: complete or cut, nobody can tell."""
    TRUNCATED = "truncated"
    """The connection was closed before the body's end."""
    RESET = "reset"
    MALFORMED = "malformed"
    """What came is no HTTP."""
    UNSENT = "unsent"
    """This version of HTTP cannot carry the request: nothing of it was sent."""
    UNTAKEN = "untaken"
    """The request was not taken in time."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a response."""

    how: End
    text: str = ""
    """What a library says of it, if it says anything."""


Arrival = Head | bytes | Ended


class Exchange(Protocol):
    """One request on one connection, and its response."""

    @property
    def unsent(self) -> int:
        """Bytes of the body that wait for the server to take more; `receive` sends them on."""

    async def send(self) -> Ended | None:
        """Send the request, or as much as the server takes before it says more; return why it cannot be sent.

        Raises:
            OSError: the connection was reset.
        """

    async def receive(self) -> Arrival:
        """Return what comes next: the head, bytes of the body, the end. May be cancelled at any time.

        Raises:
            OSError: the connection was reset.
        """
