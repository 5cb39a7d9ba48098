"""Chunks of bytes to lines, within a bound."""

from __future__ import annotations

from collections.abc import Iterator

from unbroken.errors import LineTooLong

__all__ = ["LineSplitter"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineSplitter:
    """Cuts a byte stream into lines, whatever its chunks are.

    Every byte is looked at once, when it comes: a line that drips in costs no
    more than one that comes whole, and at most `max_line_bytes` are kept.
    """

    __slots__ = ("_after_cr", "_at_start", "_max_line_bytes", "_partial")

    def __init__(self, max_line_bytes: int | None) -> None:
        self._max_line_bytes = max_line_bytes
        self._partial = bytearray()
        self._at_start = True
        self._after_cr = False

    def split(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each line that `chunk` completes, without its end; keep the rest for the next chunk.

        Raises:
            LineTooLong: a line, complete or not yet, is longer than the bound.
        """
        *complete, rest = self._with_lf_only(chunk).split(b"\n")
        for piece in complete:
            yield self._line(piece)
        self._keep(rest)

    def clear(self) -> None:
        """Let go of the line that is not complete yet."""
        self._partial.clear()

    def _with_lf_only(self, chunk: bytes) -> bytes:
        # A CR at a chunk's end ends its line at once: waiting for an LF that may never come
        # would hold the event back. If the LF comes, it belonged to that CR.
        if not chunk:
            return chunk
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _line(self, piece: bytes) -> bytes:
        if self._partial:
            self._keep(piece)
            piece = bytes(self._partial)
            self._partial.clear()
        else:
            self._check(len(piece))
        if self._at_start:
            # Encoding standard, UTF-8 decode: one byte order mark at the start of the stream is no text.
            self._at_start = False
            return piece.removeprefix(_BYTE_ORDER_MARK)
        return piece

    def _keep(self, piece: bytes) -> None:
        self._check(len(self._partial) + len(piece))
        self._partial += piece

    def _check(self, length: int) -> None:
        if self._max_line_bytes is not None and length > self._max_line_bytes:
            raise LineTooLong(
                f"a line of the event stream has at least {length} bytes, and max_line_bytes is "
                f"{self._max_line_bytes}; raise it if the peer means it, or ask whether it sends an event stream at all"
            )
