"""Bytes to events, to the letter of WHATWG HTML 9.2.5 and 9.2.6."""

from __future__ import annotations

from dataclasses import dataclass

from unbroken.errors import ConfigurationError, EventStreamError, EventTooLarge
from unbroken.wire.lines import LineSplitter

__all__ = ["DEFAULT_MAX_BYTES", "DecodedEvent", "Decoder"]

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
"""Far above any event that is meant, far below what hurts a process that reads a few streams."""

# int() refuses text of thousands of digits, and 20 digits of milliseconds are for ever already.
_RETRY_DIGITS = 20


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """An event as it was dispatched."""

    event: str
    """The event type, `message` if the stream gave none."""
    data: str
    """The data lines, joined by LF."""
    last_event_id: str
    """The stream's last event ID at this event, which an earlier event may have set; `""` if none did."""


class Decoder:
    """Turns the bytes of one event stream into events, as they come.

    Bytes that are no UTF-8 become U+FFFD, unknown fields are ignored: nothing a
    peer sends is an error, except to be beyond a bound. There is no flush: a last
    block without its blank line is discarded, as the standard has it, because
    nobody can know that it is whole. Use a new decoder for a new connection.

    Args:
        max_line_bytes: The longest line, without its end; 16 MiB by default, None for no bound.
        max_event_bytes: The most data of one event, in bytes as received; 16 MiB by default, None for no bound.

    Raises:
        ConfigurationError: a bound below 1.
    """

    __slots__ = (
        "_data",
        "_event_type",
        "_failure",
        "_id",
        "_lines",
        "_max_event_bytes",
        "comments",
        "last_event_id",
        "retry",
    )

    retry: int | None
    """The last valid reconnection time in milliseconds, None before there was one."""
    last_event_id: str
    """What a reconnection has to send as `Last-Event-ID`: the ID as of the last complete block."""
    comments: int
    """How many comment lines were seen: a watchdog's sign of life."""

    def __init__(
        self, *, max_line_bytes: int | None = DEFAULT_MAX_BYTES, max_event_bytes: int | None = DEFAULT_MAX_BYTES
    ) -> None:
        _check_bound("max_line_bytes", max_line_bytes)
        _check_bound("max_event_bytes", max_event_bytes)
        self.retry = None
        self.last_event_id = ""
        self.comments = 0
        self._max_event_bytes = max_event_bytes
        self._lines = LineSplitter(max_line_bytes)
        self._data = bytearray()
        self._event_type = b""
        self._id = ""
        self._failure: EventStreamError | None = None

    def feed(self, chunk: bytes) -> list[DecodedEvent]:
        """Return the events that `chunk` completes.

        Beyond a bound the decoder ends: it lets go of what it held, and every
        later call raises the same error. Events that the offending chunk completed
        before that are returned first, and the next call raises; `feed(b"")` asks.

        Raises:
            LineTooLong: a line is longer than `max_line_bytes`, whether its end has come or not.
            EventTooLarge: an event's data is larger than `max_event_bytes`.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        events: list[DecodedEvent] = []
        try:
            for line in self._lines.split(chunk):
                if line:
                    self._process_field(line)
                else:
                    self._dispatch(events)
        except EventStreamError as failure:
            self._end(failure)
            if not events:
                raise
        return events

    def _process_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        # WHATWG 9.2.6: one space after the colon is not part of the value; further ones are.
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._append_data(value)
            case b"":
                self.comments += 1
            case b"event":
                self._event_type = value
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"retry" if value.isdigit():  # of bytes, so ASCII digits only
                self.retry = int(value.lstrip(b"0")[:_RETRY_DIGITS] or b"0")

    def _append_data(self, value: bytes) -> None:
        if self._max_event_bytes is not None and len(self._data) + len(value) > self._max_event_bytes:
            raise EventTooLarge(
                f"an event's data has at least {len(self._data) + len(value)} bytes, and max_event_bytes is "
                f"{self._max_event_bytes}; raise it if the peer means it, or have it send less per event"
            )
        self._data += value
        self._data += b"\n"

    def _dispatch(self, events: list[DecodedEvent]) -> None:
        # WHATWG 9.2.6: the ID is committed before the block is found to have no data.
        self.last_event_id = self._id
        if self._data:
            data = self._data[:-1].decode(errors="replace")
            event_type = self._event_type.decode(errors="replace") or "message"
            events.append(DecodedEvent(event_type, data, self._id))
            self._data.clear()
        self._event_type = b""

    def _end(self, failure: EventStreamError) -> None:
        self._failure = failure
        self._lines.clear()
        self._data.clear()
        self._event_type = b""


def _check_bound(name: str, bound: int | None) -> None:
    if bound is not None and bound < 1:
        raise ConfigurationError(f"{name}={bound} leaves room for nothing; give 1 byte or more, or None for no bound")
