"""The files that are looked at together."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from unbroken.diagnose.source.config import CheckConfig
from unbroken.diagnose.source.files import python_files
from unbroken.diagnose.source.module import SourceModule
from unbroken.errors import DiagnosisError

__all__ = ["Project", "decoded", "may_stream", "read_project"]

WORTH_PARSING: Final = re.compile(
    rb"""event-stream|EventSourceResponse|StreamingResponse|ServerSentEvent|(["']|\\n)(data|event|id|retry):"""
)
"""A file without any of these has no stream; parsing it would take a hundred times as long as this search."""
GUARD: Final = b"EventStreamGuard"


@dataclass(frozen=True, slots=True)
class Project:
    """Some files as they were read."""

    sources: Mapping[Path, bytes]
    guarded: bool
    """One of them adds an `EventStreamGuard`, or the configuration says that there is one."""
    unreadable: tuple[str, ...]
    """One text for each file that the system does not let us read."""


def read_project(paths: Iterable[Path | str], config: CheckConfig) -> Project:
    """Read the Python files of `paths`.

    Raises:
        DiagnosisError: A path that is not there.
    """
    sources: dict[Path, bytes] = {}
    unreadable: list[str] = []
    for path in dict.fromkeys(python_files((Path(path) for path in paths), config.exclude)):
        try:
            sources[path] = path.read_bytes()
        except OSError as error:
            unreadable.append(f"{path}: cannot be read: {error.strerror}")
    guarded = config.guarded or any(_adds_guard(path, source) for path, source in sources.items())
    return Project(sources, guarded, tuple(unreadable))


def may_stream(source: bytes) -> bool:
    """Say whether it is worth while to parse a file."""
    return WORTH_PARSING.search(source) is not None


def decoded(path: Path, source: bytes) -> str:
    """Return a module's text by the encoding that it declares (PEP 263).

    Raises:
        DiagnosisError: It has none that fits.
    """
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
        return source.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise DiagnosisError(f"{path}:1: cannot be decoded: {error}") from error


def _adds_guard(path: Path, source: bytes) -> bool:
    if GUARD not in source or _is_test(path):
        return False
    try:
        return SourceModule(path, decoded(path, source)).guarded
    except (DiagnosisError, RecursionError):
        return False


def _is_test(path: Path) -> bool:
    """Say whether it is a test: a guard that is tried out there protects nobody."""
    return path.name.startswith(("test_", "conftest")) or path.name.endswith("_test.py") or "tests" in path.parts
