"""What `[tool.unbroken]` in a `pyproject.toml` may say."""

from __future__ import annotations

import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from unbroken.diagnose.source.rules import RULES
from unbroken.errors import ConfigurationError

__all__ = ["CheckConfig", "find_config"]

CODES: Final = frozenset(rule.code for rule in RULES)
NAME: Final = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """What is looked for, and where not.

    Attributes:
        select: Codes, or beginnings of codes (`SSE`, `SSE00`), to look for; all by default.
        ignore: Codes, or beginnings of codes, to leave out; wins over `select`.
        exclude: Glob patterns of paths to leave out, matched from the right
            (`migrations/*.py`); what is not a project's own (`.venv`, `node_modules`, …) is left out anyway.
        guarded: An `EventStreamGuard` is around the application although no module that is looked at adds it.

    Raises:
        ConfigurationError: A code that begins no rule's.
    """

    select: tuple[str, ...] = ("SSE",)
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    guarded: bool = False

    def __post_init__(self) -> None:
        for prefix in (*self.select, *self.ignore):
            if not any(code.startswith(prefix) for code in CODES):
                raise ConfigurationError(
                    f"{prefix!r} is no rule, nor the beginning of one: {min(CODES)} to {max(CODES)}"
                )

    def wants(self, code: str) -> bool:
        """Say whether findings of this code are to be reported."""
        return code.startswith(self.select) and not (self.ignore and code.startswith(self.ignore))


def find_config(start: Path) -> CheckConfig:
    """Return the configuration of the nearest `pyproject.toml` with a `[tool.unbroken]`, from `start` upwards.

    Raises:
        ConfigurationError: The table has a key or a value that it cannot have, or the file is no TOML.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / NAME
        if path.is_file() and (table := _table(path)) is not None:
            return _config(path, table)
    return CheckConfig()


def _table(path: Path) -> Mapping[str, Any] | None:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("unbroken")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from error
    if found is not None and not isinstance(found, Mapping):
        raise ConfigurationError(f"{path}: [tool.unbroken] is {reprlib.repr(found)}, and has to be a table")
    return found


def _config(path: Path, table: Mapping[str, Any]) -> CheckConfig:
    known = [field.name for field in fields(CheckConfig)]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigurationError(f"{path}: [tool.unbroken] has no {key!r}: it knows {', '.join(known)}")
        values[key] = _flag(path, key, value) if key == "guarded" else _texts(path, key, value)
    try:
        return CheckConfig(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _flag(path: Path, key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError(f"{path}: {key} = {reprlib.repr(value)} has to be true or false")


def _texts(path: Path, key: str, value: object) -> tuple[str, ...]:
    texts: Iterable[object] = value if isinstance(value, list) else [None]
    found = tuple(text for text in texts if isinstance(text, str))
    if not isinstance(value, list) or len(found) != len(value):
        raise ConfigurationError(f"{path}: {key} = {reprlib.repr(value)} has to be a list of strings")
    return found
