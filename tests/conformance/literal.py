"""The standard's own words as a program: what every faster way to read a stream is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from unbroken.wire import DecodedEvent


@dataclass(slots=True)
class LiteralReader:
    """Reads a whole stream as WHATWG 9.2.6 puts it, step by step, with no thought of chunks, bounds or cost."""

    last_event_id: str = ""
    retry: int | None = None
    comments: int = 0
    events: list[DecodedEvent] = field(default_factory=list)
    data_buffer: str = ""
    event_type_buffer: str = ""
    last_event_id_buffer: str = ""

    def read(self, stream: bytes) -> None:
        """Interpret `stream` from its first byte to its end."""
        self.last_event_id_buffer = self.last_event_id
        text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
        *lines, _ = re.split("\r\n|\n|\r", text)  # an incomplete line at the end is discarded
        for line in lines:
            if line == "":
                self.dispatch()
            elif line.startswith(":"):
                self.comments += 1
            else:
                name, _, value = line.partition(":")
                self.process_field(name, value.removeprefix(" "))

    def process_field(self, name: str, value: str) -> None:
        if name == "event":
            self.event_type_buffer = value
        elif name == "data":
            self.data_buffer += value + "\n"
        elif name == "id" and "\0" not in value:
            self.last_event_id_buffer = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value)

    def dispatch(self) -> None:
        self.last_event_id = self.last_event_id_buffer
        if self.data_buffer:
            data = self.data_buffer.removesuffix("\n")
            self.events.append(DecodedEvent(self.event_type_buffer or "message", data, self.last_event_id))
        self.data_buffer = ""
        self.event_type_buffer = ""
