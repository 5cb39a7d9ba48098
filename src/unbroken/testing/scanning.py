"""Finds the ends of events in the bytes of HTTP/1 responses, without decoding what passes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EventScanner"]

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_HEXADECIMAL: Final = re.compile(rb"[0-9A-Fa-f]+")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_STARTS: Final = len(_BYTE_ORDER_MARK + b"data:")
_KEPT_OF_LINE: Final = 8192
"""A line of a response's head may be longer; no more of it is needed to know the framing."""


class EventScanner:
    """Says where events end in a server's side of a connection: one response after the other.

    Chunked bodies are seen through, so an event may lie across chunks. Bytes that are no
    HTTP/1 response have no events.
    """

    def __init__(self) -> None:
        self._step: Callable[[bytes, int], int] = self._read_head
        self._line = bytearray()
        self._status = 0
        self._chunked = False
        self._left: int | None = None
        self._body = _BodyScanner()
        self._ends: list[int] = []

    def feed(self, data: bytes) -> list[int]:
        """Return the offsets in `data` just behind each event that ends in it."""
        self._ends, position = [], 0
        while position < len(data):
            position = self._step(data, position)
        return self._ends

    def _read_head(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line is None:
            return position
        name, _, value = line.partition(b":")
        if line.startswith(b"HTTP/"):
            self._begin_response(line)
        elif name.lower() == b"content-length":
            self._left = int(value) if value.strip().isdigit() else None
        elif name.lower() == b"transfer-encoding":
            self._chunked = b"chunked" in value.lower()
        elif not line and self._status:
            self._begin_body()
        return position

    def _begin_response(self, line: bytes) -> None:
        code = line.split()[1:2]
        self._status = int(code[0]) if code and code[0].isdigit() else 0
        self._chunked, self._left = False, None

    def _begin_body(self) -> None:
        self._body = _BodyScanner()
        # RFC 9112 6.3: these have no body, whatever their head says.
        if self._status < 200 or self._status in (204, 304):
            self._left = 0
        if self._chunked:
            self._step = self._read_chunk_size
        elif self._left != 0:
            self._step = self._read_body

    def _read_body(self, data: bytes, position: int) -> int:
        end = len(data) if self._left is None else min(len(data), position + self._left)
        self._ends += [position + offset for offset in self._body.feed(data[position:end])]
        if self._left is not None:
            self._left -= end - position
            if self._left == 0:
                self._step = self._read_chunk_end if self._chunked else self._read_head
        return end

    def _read_chunk_size(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line is not None:
            size = line.partition(b";")[0].strip()
            self._left = int(size, 16) if _HEXADECIMAL.fullmatch(size) else 0
            self._step = self._read_body if self._left else self._read_trailer
        return position

    def _read_chunk_end(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line is not None:
            self._step = self._read_chunk_size
        return position

    def _read_trailer(self, data: bytes, position: int) -> int:
        line, position = self._read_line(data, position)
        if line == b"":
            self._step = self._read_head
        return position

    def _read_line(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        """Return the line that ends here, or None if it goes on, and where to read on."""
        end = data.find(b"\n", position)
        piece = data[position : end if end >= 0 else len(data)]
        self._line += piece[: max(0, _KEPT_OF_LINE - len(self._line))]
        if end < 0:
            return None, len(data)
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        return line, end + 1


class _BodyScanner:
    def __init__(self) -> None:
        self._start_of_line = b""
        self._is_first_line = True
        self._has_data = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[int]:
        """Return the offsets in `piece` just behind each event's blank line."""
        ends: list[int] = []
        # An LF that follows the CR at the end of the last piece belongs to that CR.
        position = 1 if self._after_cr and piece.startswith(b"\n") else 0
        self._after_cr = piece.endswith(b"\r")
        for line_end in _LINE_END.finditer(piece, position):
            if self._end_line(piece[position : line_end.start()]):
                ends.append(line_end.end())
            position = line_end.end()
        self._keep(piece[position:])
        return ends

    def _end_line(self, rest: bytes) -> bool:
        """Take the rest of a line, and say whether it was the blank one that ends an event."""
        self._keep(rest)
        start, self._start_of_line = self._start_of_line, b""
        if self._is_first_line:
            # WHATWG 9.2.5: a stream may begin with one byte order mark.
            start, self._is_first_line = start.removeprefix(_BYTE_ORDER_MARK), False
        if start:
            # WHATWG 9.2.6: a block is dispatched as an event if it has a data field, be it empty.
            self._has_data = self._has_data or start[:5] in (b"data", b"data:")
            return False
        ended, self._has_data = self._has_data, False
        return ended

    def _keep(self, piece: bytes) -> None:
        self._start_of_line = (self._start_of_line + piece[:_STARTS])[:_STARTS]
