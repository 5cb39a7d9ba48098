"""Writing a file so that it is either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import tempfile
import tokenize
from io import BytesIO
from pathlib import Path

__all__ = ["encoded", "write"]


def encoded(text: str, before: bytes) -> bytes:
    """Return `text` in the encoding that the source `before` declares, with its byte order mark if it has one."""
    encoding, _ = tokenize.detect_encoding(BytesIO(before).readline)
    return text.encode(encoding)


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
