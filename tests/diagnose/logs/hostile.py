"""Texts that a pattern takes long for, if it can: made of what the pattern itself asks for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

from unbroken.diagnose.logs.signature import Signature

__all__ = ["hostile", "patterns"]

_parser: Any = importlib.import_module("re._parser")
"""It has no public name; without it each pattern would need its texts by hand, and a new one would have none."""

CHARACTERS = tuple(map(ord, 'A0a/. -:|"_[{<>\x1b'))
CATEGORIES = {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "A", "CATEGORY_NOT_SPACE": "A"}
PACKAGE = "unbroken.diagnose.logs"
MODULES = (
    "groups", "judging", "lines", "modules", "plain", "reading", "records", "requests", "routes", "signatures",
    "sources", "times", "tracebacks", "walls", "workers",
)  # fmt: skip


def patterns() -> dict[str, re.Pattern[Any]]:
    """Return every compiled pattern of the package by one of its places."""
    found: dict[re.Pattern[Any], str] = {}
    for module in MODULES:
        for name, value in vars(importlib.import_module(f"{PACKAGE}.{module}")).items():
            for place, pattern in _patterns_of(f"{module}.{name}", value):
                found.setdefault(pattern, place)
    return {place: pattern for pattern, place in found.items()}


def _patterns_of(name: str, value: object) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _patterns_of(f"{name}[{index}]", item.pattern if isinstance(item, Signature) else item)


def hostile(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    """Yield texts of `size` characters that begin like what `pattern` finds, again and again."""
    plain = pattern.pattern.decode() if isinstance(pattern.pattern, bytes) else pattern.pattern
    tree = _parser.parse(plain, pattern.flags & re.IGNORECASE)
    seen: set[str] = set()
    for choice in range(3):
        atoms = list(_atoms(tree, choice))
        for end in range(1, len(atoms) + 1):
            seen.update(_pumped("".join(atoms[:end]), atoms[end - 1], size))
    yield from sorted(seen)


def _pumped(prefix: str, last: str, size: int) -> Iterator[str]:
    for unit in {prefix, last, last[-1:]}:
        if unit:
            yield (prefix + unit * (size // len(unit) + 1))[:size]
            yield (prefix * (size // len(prefix) // 2) + unit * size)[:size]


def _atoms(tree: Any, choice: int) -> Iterator[str]:
    """Yield what fits each part of the pattern, in its order; of alternatives the one that `choice` says."""
    for operation, argument in tree:
        kind = str(operation)
        if kind == "LITERAL":
            yield chr(argument)
        elif kind == "NOT_LITERAL":
            yield chr(next(code for code in CHARACTERS if code != argument))
        elif kind == "ANY":
            yield "A"
        elif kind == "IN":
            yield _of_set(argument)
        elif kind == "BRANCH":
            yield from _atoms(argument[1][choice % len(argument[1])], choice)
        elif kind == "SUBPATTERN":
            yield from _atoms(argument[-1], choice)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = argument
            yield from list(_atoms(inner, choice)) * max(least, min(most, choice + 1))


def _of_set(items: Any) -> str:
    negated = str(items[0][0]) == "NEGATE"
    if not negated:
        return _member(items[-1])
    taken = {_member(item) for item in items[1:]}
    return next(chr(code) for code in CHARACTERS if chr(code) not in taken and not chr(code).isspace())


def _member(item: Any) -> str:
    operation, argument = str(item[0]), item[1]
    if operation == "CATEGORY":
        return CATEGORIES.get(str(argument), "-")
    return chr(argument if operation == "LITERAL" else argument[0])
