"""Where an event stream is between events: the places at which something may be put into it."""

from __future__ import annotations

__all__ = ["EventBoundaries"]

_BOM = b"\xef\xbb\xbf"
_COLON = ord(":")
_DATA = b"data:"
_LINE_ENDS = (b"\n", b"\r")
# Lines are taken apart this many bytes at a time: very many short ones would take much more memory than their chunk.
_AT_ONCE = 65536


class EventBoundaries:
    """Reads along with the bytes of one event stream, cut in any way, and knows whether they end between events.

    Where they do, a comment and its blank line, or an event, may be put into the stream
    without changing an event, the last event ID or the reconnection time of what
    is there already. It also counts events as the standard dispatches them. It holds
    a dozen bytes, whatever it reads, and never raises. Use a new one for a new stream.
    """

    __slots__ = ("_beginning", "_ended_in_cr", "_has_data", "_has_field", "_line", "_preceded", "between", "events")

    between: bool
    """Nothing of an event is begun: no field, and no part of a line. Comments that are complete begin nothing."""
    events: int
    """How many events were complete: blocks with a `data` field, which may be empty, that a blank line has ended."""

    def __init__(self) -> None:
        self.between = True
        self.events = 0
        self._has_field = False  # the block
        self._has_data = False  # the block
        self._line = b""  # the telling beginning of a line whose end has not come
        self._ended_in_cr = False
        self._beginning: bytes | None = b""  # what may become a byte order mark; None once that is decided
        self._preceded = False

    def precede(self) -> None:
        """Tell that something was put before the stream's first byte; later it changes nothing.

        A byte order mark then no longer stands at the very beginning, where alone it is
        one: `feed` takes it out.
        """
        if self._beginning == b"":
            self._preceded = True

    def feed(self, chunk: bytes) -> bytes:
        """Read `chunk`, and return what is to be sent for it: itself, if no byte order mark has to be taken out.

        What may be the first part of such a mark is held back until the next chunk.
        `bytearray` and `memoryview` may be given too.
        """
        if self._beginning is not None:
            return self._begin(self._beginning + chunk, chunk)
        self._read(chunk)
        return chunk

    def _begin(self, seen: bytes, chunk: bytes) -> bytes:
        if seen != _BOM and _BOM.startswith(seen):
            self._beginning = seen
            self.between = self._preceded or not seen
            return b"" if self._preceded else chunk
        self._beginning = None
        self.between = True
        text = seen.removeprefix(_BOM)
        self._read(text)
        return text if self._preceded else chunk

    def _read(self, chunk: bytes) -> None:
        if len(chunk) <= _AT_ONCE:
            self._take(chunk)
        else:
            for start in range(0, len(chunk), _AT_ONCE):
                self._take(chunk[start : start + _AT_ONCE])

    def _take(self, chunk: bytes) -> None:
        if not chunk:  # it decides nothing, not even whether an LF follows
            return
        # The LF of a CR that ended the last chunk is no line. If something was put between the two the client does see
        # an empty line, but in an empty block: it dispatches nothing and sets nothing.
        if self._ended_in_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
        lines = (self._line + chunk).splitlines()  # of bytes: at LF, CR and CRLF, as WHATWG 9.2.6 has it
        last = chunk[-1:]
        self._line = b"" if last in _LINE_ENDS or not last else lines.pop()[: len(_DATA)]
        self._ended_in_cr = last == b"\r"
        self._follow(lines)
        self.between = not (self._has_field or self._line)

    def _follow(self, lines: list[bytes]) -> None:
        has_field, has_data = self._has_field, self._has_data
        for line in lines:
            if not line:
                self.events += has_data
                has_field = has_data = False
            elif has_data:  # nothing more is to be known of this block
                continue
            elif line[:5] == _DATA or line == b"data":
                has_field = has_data = True
            elif line[0] != _COLON:
                has_field = True
        self._has_field, self._has_data = has_field, has_data
