"""Writing a file so that it is either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import tempfile
import tokenize
from io import BytesIO
from pathlib import Path

__all__ = ["encodable", "encoded", "write"]


def encoded(text: str, before: bytes) -> bytes:
    """Return `text` in the encoding that the source `before` declares, with its byte order mark if it has one.

    What that encoding has not is escaped: it can only stand in a literal that the rewrite wrote, and none of those is
    raw.
    """
    return text.encode(_encoding(before), "backslashreplace")


def encodable(text: str, before: bytes) -> str:
    """Return `text` as it reads once it is `encoded`."""
    return encoded(text, before).decode(_encoding(before))


def _encoding(source: bytes) -> str:
    return tokenize.detect_encoding(BytesIO(source).readline)[0]


def write(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file at `path`, with the file's mode; through a symbolic link, at its target.

    Raises:
        OSError: The folder takes no file; the old one is untouched then.
    """
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        shutil.copymode(target, name)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
