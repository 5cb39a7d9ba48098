"""Events as lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import typer

from unbroken.cli.output import as_json, shown
from unbroken.client import DecodedEvent, Gap

__all__ = ["Form"]

INDENT = "\n    "


@dataclass(frozen=True, slots=True)
class Form:
    """How events are written."""

    json: bool = False
    """As a JSON object."""
    time: bool = False
    """With the time at which the event came."""
    coloured: bool = False
    """With the colours of a terminal, if not as JSON."""

    def line(self, event: DecodedEvent) -> str:
        """Return an event as one line, below which the further lines of its data are indented."""
        if self.json:
            return as_json({**self._time_field(), **dict(_fields(event))})
        parts = [*self._time_part(), self._id(event.last_event_id), self._type(event.event)]
        if event.data:
            parts.append(_data(event.data))
        return "  ".join(parts)

    def gap(self, gap: Gap) -> str | None:
        """Return a gap as a line among the events, None where people are told of it elsewhere."""
        if not self.json:
            return None
        missing = {"reason": gap.reason, "after": gap.after, "next": gap.next, "missed": gap.missed}
        return as_json({**self._time_field(), "topic": gap.topic, "gap": missing})

    def _time_field(self) -> dict[str, str]:
        return {"time": datetime.now().astimezone().isoformat(timespec="milliseconds")} if self.time else {}

    def _time_part(self) -> Iterator[str]:
        if self.time:
            yield self._styled(datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3], "bright_black")

    def _id(self, last_event_id: str) -> str:
        return self._styled(shown(last_event_id).replace("\t", "\\t") or "-", "bright_black")

    def _type(self, event: str) -> str:
        return self._styled(shown(event).replace("\t", "\\t"), "cyan")

    def _styled(self, text: str, colour: str) -> str:
        return typer.style(text, fg=colour) if self.coloured else text


def _fields(event: DecodedEvent) -> Iterator[tuple[str, object]]:
    yield "id", event.last_event_id or None
    yield "event", event.event
    yield "data", event.data


def _data(data: str) -> str:
    return shown(data).replace("\n", INDENT)
