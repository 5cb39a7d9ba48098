"""An event as a reader has it."""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from typing import Any

from unbroken.errors import EventDataError

__all__ = ["DecodedEvent", "DecodedFields", "decoded"]


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """An event as it was dispatched."""

    event: str
    """The event type, `message` if the stream gave none."""
    data: str
    """The data lines, joined by LF."""
    last_event_id: str
    """The stream's last event ID at this event, which an earlier event may have set; `""` if none did."""

    def json(self) -> Any:
        """Return the data, read as JSON.

        Raises:
            EventDataError: it is none, or is nested too deep.
        """
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise EventDataError(
                f"the data of the event {reprlib.repr(self.event)} is no JSON: {error}; it is "
                f"{reprlib.repr(self.data)}: read .data, or filter the events by their type",
                self,
            ) from error


class DecodedFields:
    """A `DecodedEvent` before it is one: its class is set when its fields are.

    A frozen dataclass sets each field through `object.__setattr__`, which takes
    three quarters of the time to make one. Two classes with the same slots have the
    same layout, so an object may change from one to the other.
    """

    __slots__ = ("data", "event", "last_event_id")

    event: str
    data: str
    last_event_id: str


def decoded(event_type: str, data: str, last_event_id: str) -> DecodedEvent:
    """Return an event; an empty type is `message`."""
    fields = DecodedFields()
    fields.event = event_type or "message"
    fields.data = data
    fields.last_event_id = last_event_id
    fields.__class__ = DecodedEvent  # type: ignore[assignment]
    return fields  # type: ignore[return-value]
