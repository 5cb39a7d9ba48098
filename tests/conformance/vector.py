"""One rule of the standard, with bytes that show it."""

from __future__ import annotations

from dataclasses import dataclass

from unbroken.wire import DecodedEvent

LINES = "HTML 9.2.5"
FIELDS = "HTML 9.2.6"
TEXT = "Encoding, UTF-8 decode"


@dataclass(frozen=True, slots=True)
class Vector:
    """A stream from its first byte to its end, and all that a client may know after it."""

    id: str
    clause: str
    rule: str
    stream: bytes
    events: tuple[DecodedEvent, ...] = ()
    retry: int | None = None
    last_event_id: str = ""
    comments: int = 0


def event(data: str, event_type: str = "message", last_event_id: str = "") -> DecodedEvent:
    """Return an event, by default a message of a stream without IDs."""
    return DecodedEvent(event_type, data, last_event_id)


def with_id(data: str, last_event_id: str) -> DecodedEvent:
    """Return a message with an ID."""
    return event(data, last_event_id=last_event_id)


A, B = event("a"), event("b")
