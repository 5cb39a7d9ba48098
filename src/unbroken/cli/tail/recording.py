"""The bodies of a stream as they were received, in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from unbroken.cli.output import OutputLost
from unbroken.errors import ConfigurationError

__all__ = ["Recording"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# WHATWG 9.2.5: a line ends with CRLF, LF or CR. (?>…): a CR before an LF is never an end of its own.
_BLANK_LINES = re.compile(rb"(?>\r\n|\n|\r){2,}")
_LONGEST_SPLIT = 3
"""Bytes of two line ends that may stand before the piece that completes them."""


class Recording:
    """Writes what comes into a file, so that it can be played back: one connection gives exactly its bytes.

    A connection that broke within an event would give its first half to the next one's first
    event. So that half is taken back as soon as the next connection brings a byte.

    What was in the file before is replaced by the first byte, and not earlier: nothing is lost to a wrong URL.

    Raises:
        ConfigurationError: It cannot be written, or is no file from which something can be taken back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _opened(path)
        self._size = 0
        self._whole = 0
        """The size up to the last blank line: up to here are whole events."""
        self._split = b""
        self._head: bytearray | None = None
        """The first bytes of a connection after the first, until they are no byte order mark."""

    def __call__(self, piece: bytes) -> None:
        """Write a piece; `b""` says that the connection has ended.

        Raises:
            OutputLost: it cannot be written.
        """
        try:
            self._take(piece)
        except OSError as error:
            raise OutputLost(f"--save {self._path} cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _take(self, piece: bytes) -> None:
        if not piece:
            self._head = bytearray()
        elif self._head is not None:
            self._begin_anew(piece, self._head)
        else:
            if self._size == 0:
                self._file.truncate(0)
            self._write(piece)

    def _begin_anew(self, piece: bytes, head: bytearray) -> None:
        # A mark means nothing but at the beginning of a body; in the middle of the file it would spoil a field.
        head += piece
        if _BYTE_ORDER_MARK.startswith(head):
            return
        self._file.truncate(self._whole)
        self._size, self._split, self._head = self._whole, b"", None
        self._write(bytes(head.removeprefix(_BYTE_ORDER_MARK) if self._whole else head))

    def _write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._file.flush()
        seen = self._split + piece
        for found in _BLANK_LINES.finditer(seen):
            self._whole = self._size - len(self._split) + found.end()
        self._size += len(piece)
        self._split = seen[-_LONGEST_SPLIT:]


def _opened(path: Path) -> BinaryIO:
    try:
        # Before it is opened: a FIFO would have it wait for a reader.
        if path.exists() and not path.is_file():
            raise ConfigurationError(
                f"--save {path} is no plain file, and what broke off could not be taken back there"
            )
        return path.open("ab")
    except OSError as error:
        raise ConfigurationError(f"--save {path}: {error.strerror}") from error
