"""Bytes to events, to the letter of WHATWG HTML 9.2.5 and 9.2.6."""

from __future__ import annotations

from unbroken.errors import ConfigurationError, EventStreamError, EventTooLarge
from unbroken.wire.blocks import GROUP_BYTES, end_of_blocks, find_blocks, groups, plain_data, with_more
from unbroken.wire.decoded_event import DecodedEvent, decoded
from unbroken.wire.lines import CR, LF, LineSplitter

__all__ = ["DEFAULT_MAX_BYTES", "DecodedEvent", "Decoder"]

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
"""Far above any event that is meant, far below what hurts a process that reads a few streams."""

# int() refuses text of thousands of digits, and 20 digits of milliseconds are for ever already.
_RETRY_DIGITS = 20
# Very many short lines take much more memory than their chunk, so a large chunk is taken apart in pieces.
_MOST_AT_ONCE = 64 * 1024


class Decoder:
    """Turns the bytes of one event stream into events, as they come.

    Bytes that are no UTF-8 become U+FFFD, unknown fields are ignored: nothing a
    peer sends is an error, except to be beyond a bound. There is no flush: a last
    block without its blank line is discarded, as the standard has it, because
    nobody can know that it is whole. Use a new decoder for a new connection.

    Args:
        max_line_bytes: The longest line, without its end; 16 MiB by default, None for no bound.
        max_event_bytes: The most data of one event, in bytes as received; 16 MiB by default, None for no bound.
        last_event_id: The ID that events have until the stream gives one: on a reconnection, the last connection's.

    Raises:
        ConfigurationError: a bound below 1.
    """

    # There are two ways to an event. Line by line is the one that can always be gone, and that holds what is not
    # complete from one chunk to the next. Where no block is begun and a chunk has whole ones, these go as text through
    # `blocks`, many at a time. That way keeps nothing, and looks at no bound: chunks are taken in pieces that are
    # no longer than the bounds, so that no line or event within one can be.

    __slots__ = (
        "_at_most",
        "_begun",
        "_data",
        "_event_type",
        "_failure",
        "_id",
        "_lines",
        "_max_event_bytes",
        "_usual",
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
        self,
        *,
        max_line_bytes: int | None = DEFAULT_MAX_BYTES,
        max_event_bytes: int | None = DEFAULT_MAX_BYTES,
        last_event_id: str = "",
    ) -> None:
        _check_bound("max_line_bytes", max_line_bytes)
        _check_bound("max_event_bytes", max_event_bytes)
        self._at_most = min(_MOST_AT_ONCE, max_line_bytes or _MOST_AT_ONCE, max_event_bytes or _MOST_AT_ONCE)
        self._usual = min(self._at_most, GROUP_BYTES)
        self.retry = None
        self.last_event_id = last_event_id
        self.comments = 0
        self._max_event_bytes = max_event_bytes
        self._lines = LineSplitter(max_line_bytes)
        # A line of the block has come, or a part of one. So it is at the start, where a byte order mark may be.
        self._begun = True
        self._data = bytearray()
        self._event_type = ""
        self._id = last_event_id
        self._failure: EventStreamError | None = None

    @property
    def is_within_event(self) -> bool:
        """Whether an event is begun that its stream has not ended: what of it came is lost if the stream ends here."""
        begun = self._lines.partial
        return bool(self._data or self._event_type or (begun and not begun.startswith(b":")))

    def feed(self, chunk: bytes) -> list[DecodedEvent]:
        """Return the events that `chunk` completes.

        Beyond a bound the decoder ends: it lets go of what it held, and every
        later call raises the same error. Events that the offending chunk completed
        before that are returned first, and the next call raises; `feed(b"")` asks.

        Raises:
            LineTooLong: a line is longer than `max_line_bytes`, whether its end has come or not.
            EventTooLarge: an event's data is larger than `max_event_bytes`.
        """
        # The usual chunk: whole blocks, and nothing is begun.
        if not self._begun and chunk.endswith(b"\n\n") and len(chunk) <= self._usual and CR not in chunk:
            return self._read_text(chunk.decode("utf-8", "replace"))
        return self._feed(chunk)

    def _feed(self, chunk: bytes) -> list[DecodedEvent]:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        events: list[DecodedEvent] = []
        try:
            if LF not in chunk and CR not in chunk:
                if chunk:
                    self._begun = True
                    self._lines.keep_chunk(chunk)
            elif len(chunk) <= self._at_most:
                self._read(chunk, events)
            else:
                for start in range(0, len(chunk), self._at_most):
                    self._read(chunk[start : start + self._at_most], events)
        except EventStreamError as failure:
            self._end(failure)
            if not events:
                raise
        return events

    def _read(self, chunk: bytes, events: list[DecodedEvent]) -> None:
        chunk = self._lines.with_lf_only(chunk)
        start = self._read_lines(chunk, 0, events) if self._begun else 0
        end = end_of_blocks(chunk, start)
        if start < end:
            for group in groups(chunk, start, end):
                # A line end is no part of another character, so the text of many lines is the lines' texts.
                events += self._read_text(group.decode("utf-8", "replace"))
        while end < len(chunk):
            end = self._read_lines(chunk, end, events)

    def _read_text(self, text: str) -> list[DecodedEvent]:
        return self._read_plain(text) if text.startswith("data: ") else self._read_blocks(text)

    def _read_plain(self, text: str) -> list[DecodedEvent]:
        """Read blocks of which the first begins with `data: `: likely it has no more, and all others are like it."""
        last_event_id = self._id
        if text.find("\n") == len(text) - 2:
            return [decoded("", text[6:-2], last_event_id)]
        plain = plain_data(text)
        if plain is None:
            return self._read_blocks(text)
        return [decoded("", data, last_event_id) for data in plain]

    def _read_blocks(self, text: str) -> list[DecodedEvent]:
        events: list[DecodedEvent] = []
        for early_type, new_id, late_type, data, more, odd in find_blocks(text):
            if data:
                if new_id:
                    self._id = new_id
                whole = with_more(data, more) if more else data
                events.append(decoded(late_type or early_type, whole, self._id))
            elif odd:
                self._read_odd(odd, events)
            else:
                self.comments += 1
        self.last_event_id = self._id
        return events

    def _read_odd(self, block: str, events: list[DecodedEvent]) -> None:
        lines: list[str] = []
        for line in block[:-1].split("\n"):
            name, value = _field(line)
            if name == "data":
                lines.append(value)
            else:
                self._process_field(name, value)
        if lines:
            events.append(decoded(self._event_type, "\n".join(lines), self._id))
        self._event_type = ""

    def _read_lines(self, chunk: bytes, start: int, events: list[DecodedEvent]) -> int:
        """Read lines from `start` on until a block or the chunk ends, and return where that is."""
        self._begun = True
        while (end := chunk.find(LF, start)) >= 0:
            line = self._lines.complete(chunk[start:end])
            start = end + 1
            if not line:
                self._dispatch(events)
                self._begun = False
                return start
            self._process_line(line)
        self._lines.keep(chunk[start:])
        return len(chunk)

    def _process_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._append_data(line[6 if line.startswith(b" ", 5) else 5 :])
        elif line == b"data":
            self._append_data(b"")
        else:
            self._process_field(*_field(str(line, "utf-8", "replace")))

    def _process_field(self, name: str, value: str) -> None:
        match name:
            case "":
                self.comments += 1
            case "event":
                self._event_type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value.lstrip("0")[:_RETRY_DIGITS] or "0")

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
            self._data.pop()
            data = self._data.decode(errors="replace")
            events.append(decoded(self._event_type, data, self._id))
            self._data.clear()
        self._event_type = ""

    def _end(self, failure: EventStreamError) -> None:
        self._failure = failure
        self._begun = True  # so that no chunk is a usual one any more
        self._lines.clear()
        self._data.clear()
        self._event_type = ""


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    # WHATWG 9.2.6: one space after the colon is not part of the value; further ones are.
    return name, value.removeprefix(" ")


def _check_bound(name: str, bound: int | None) -> None:
    if bound is not None and bound < 1:
        raise ConfigurationError(f"{name}={bound} leaves room for nothing; give 1 byte or more, or None for no bound")
