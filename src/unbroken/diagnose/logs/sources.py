"""Logs as blocks of whole lines, whatever they are packed in."""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import io
import itertools
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, cast

from unbroken.errors import DiagnosisError

__all__ = ["Blocks", "Source"]

Source = str | os.PathLike[str] | IO[bytes]
"""A path, `-` for standard input, or a file open for reading bytes."""

BLOCK: Final = 1 << 20
LONGEST_LINE: Final = 1 << 16
"""Bytes of a line that are looked at."""

DAMAGED: Final = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
"""What the libraries of packed files raise; bz2's has an OSError without a number."""
MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
ZSTD: Final = b"\x28\xb5\x2f\xfd"


class _Counted(io.RawIOBase):
    """A file that says how many bytes were read of it, and gives back those looked at first."""

    def __init__(self, file: IO[bytes], head: bytes, progress: Callable[[int], object] | None) -> None:
        self._file, self._head, self._progress = file, head, progress
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # narrower than a Buffer
        data = self._head or self._file.read(len(buffer))
        data, self._head = data[: len(buffer)], self._head[len(buffer) :]
        buffer[: len(data)] = data
        self.count += len(data)
        if self._progress is not None and data:
            self._progress(len(data))
        return len(data)


class Blocks:
    """One log, iterated as blocks of whole lines, each line cut at 64 KiB.

    Raises:
        DiagnosisError: There is no such file, or it cannot be read.
    """

    def __init__(self, source: Source, progress: Callable[[int], object] | None = None) -> None:
        self.name = _name(source)
        self._source, self._progress = source, progress
        self.bytes_read = 0
        self.clipped = 0
        """Lines that were longer than what is looked at."""
        self.damaged = False
        """The packing ended or broke in the midst."""

    def __iter__(self) -> Iterator[bytes]:
        file, ours = _opened(self._source)
        try:
            yield from self._blocks(file)
        except OSError as error:
            raise DiagnosisError(f"{self.name} cannot be read: {error.strerror or error}") from error
        finally:
            if ours:
                file.close()

    def _blocks(self, file: IO[bytes]) -> Iterator[bytes]:
        head = file.read(6)
        counted = _Counted(file, head, self._progress)
        rest = b""
        skipping = False
        """The end of a line that was too long is still to come."""
        for chunk in _as_utf8(self._chunks(_unpacked(counted, head, self.name))):
            self.bytes_read = counted.count
            if skipping:
                chunk = chunk[chunk.find(b"\n") :] if b"\n" in chunk else b""
            end = chunk.rfind(b"\n") + 1
            if end:
                yield self._clipped(rest + chunk[:end])
                skipping, rest = False, chunk[end:]
            else:
                rest += chunk
            if len(rest) > LONGEST_LINE:
                self.clipped += not skipping
                skipping, rest = True, rest[:LONGEST_LINE]
        self.bytes_read = counted.count
        if rest:
            yield self._clipped(rest + b"\n")

    def _chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        try:
            # What came before a file's break is given, where read() would lose it.
            while chunk := file.read1(BLOCK):  # type: ignore[attr-defined] # all have it, IO does not say so
                yield chunk
        except DAMAGED:
            self.damaged = True
        except OSError as error:
            if error.errno is not None:
                raise
            self.damaged = True

    def _clipped(self, block: bytes) -> bytes:
        """Return the block with its overlong lines cut. The steps are as long as a line may be: few for a block."""
        parts, kept, position = [], 0, 0
        while len(block) - position > LONGEST_LINE + 1:
            end = block.rfind(b"\n", position, position + LONGEST_LINE + 1)
            if end < 0:
                end = block.find(b"\n", position + LONGEST_LINE)
                parts.append(block[kept : position + LONGEST_LINE])
                kept = end
                self.clipped += 1
            position = end + 1
        return b"".join([*parts, block[kept:]]) if parts else block


def _as_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text as UTF-8, if its first bytes say that it is in something else, as PowerShell writes it."""
    first = next(chunks, b"")
    encoding = next((name for mark, name in MARKS if first.startswith(mark)), None)
    if encoding is None:
        yield from filter(None, itertools.chain([first], chunks))
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in itertools.chain([first], chunks):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "-"))


def _opened(source: Source) -> tuple[IO[bytes], bool]:
    """Return the file, and whether it is for us to close."""
    if source == "-":
        return sys.stdin.buffer, False
    if not isinstance(source, str | os.PathLike):
        return source, False
    try:
        return Path(source).open("rb"), True
    except OSError as error:
        raise DiagnosisError(
            f"{os.fspath(source)!r} cannot be opened: {error.strerror}; give files, or - for standard input"
        ) from error


def _unpacked(counted: _Counted, head: bytes, name: str) -> IO[bytes]:
    """Return what is in the file, by its first bytes: names lie, and standard input has none."""
    raw = io.BufferedReader(counted, BLOCK)
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(raw)
    if head.startswith(ZSTD):
        return _zstd(raw, name)
    return raw


def _zstd(raw: IO[bytes], name: str) -> IO[bytes]:
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError as error:
        raise DiagnosisError(
            f"{name} is packed with zstd, which Python reads from 3.14 on, and this is "
            f"{sys.version_info.major}.{sys.version_info.minor}: unpack it first, zstd -dc {name} | unbroken explain -"
        ) from error
    return cast("IO[bytes]", zstd.ZstdFile(raw))
