"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import libcst as cst

from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import Stream

__all__ = ["Problem", "Rule", "Subject"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a rule looks at: a module with its streams."""

    module: SourceModule
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One place that a rule objects to."""

    node: cst.CSTNode
    message: str
    """What is wrong here and what to do, in one or two sentences; with the names of this place."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that `check` looks for."""

    code: str
    """`SSE` and three digits; stable."""
    name: str
    """Lower case with hyphens."""
    cause: str
    """The id in the catalogue."""
    summary: str
    """One line."""
    find: Callable[[Subject], Iterator[Problem]]
    fixable: bool = False
    """`fix` can mend it in the plain case."""
    limits: str = ""
    """What it does not see, and what it deliberately lets pass."""
