"""The events by which a server of this package speaks of the stream itself, read leniently.

Another server may use such a name for an event of its own: what does not have exactly our form is
an event like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from unbroken.errors import CloseReason
from unbroken.wire import DecodedEvent

__all__ = ["CONTROLS", "Gap", "read_gap", "read_reason"]

ERROR, GAP, END = "stream-error", "stream-gap", "stream-end"
CONTROLS = frozenset({ERROR, GAP, END})

_REASONS = frozenset(CloseReason)


@dataclass(frozen=True, slots=True)
class Gap(DecodedEvent):
    """Events of one topic that this reader has not seen and will not see; a `stream-gap` event tells of them."""

    reason: str
    """Why: `trimmed`, `epoch`, `rollback`, `fork`, `unreadable` or `overflow`; a later server may have others."""
    topic: str
    """The topic."""
    after: str | None
    """The id of the last event that the reader had; None where the server does not know it."""
    next: str | None
    """The id of the event that comes next, None if there is none yet."""
    missed: int | None
    """How many events; None where nobody can know."""

    def __str__(self) -> str:
        count = "an unknown number of events" if self.missed is None else f"{self.missed} events"
        return f"{count} of topic {self.topic!r} ({self.reason})"


def read_gap(event: DecodedEvent) -> Gap | None:
    """Return the gap that an event tells of, or None if it is not of that form."""
    fields = _fields(event)
    reason, topic, missed = fields.get("reason"), fields.get("topic"), fields.get("missed")
    after, following = fields.get("after"), fields.get("next")
    if not isinstance(reason, str) or not reason.isidentifier() or not isinstance(topic, str):
        return None
    if not isinstance(after, str | None) or not isinstance(following, str | None):
        return None
    if not isinstance(missed, int | None) or isinstance(missed, bool):
        return None
    return Gap(event.event, event.data, event.last_event_id, reason, topic, after, following, missed)


def read_reason(event: DecodedEvent) -> CloseReason | None:
    """Return why the server ends the stream, or None if the event is not of that form."""
    reason = _fields(event).get("reason")
    return CloseReason(reason) if isinstance(reason, str) and reason in _REASONS else None


def _fields(event: DecodedEvent) -> Mapping[str, object]:
    try:
        value = json.loads(event.data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
