"""What `fix` did, and what it left."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass

from unbroken.diagnose.source.check import SourceFinding

__all__ = ["Change", "FixReport", "FixedFile", "FixedText", "Leftover"]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One statement that was rewritten."""

    line: int
    """From 1, in the text as it was."""
    code: str | None
    """The rule that asks for it; None for what merely goes along with the move to this package."""
    what: str

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, order=True)
class Leftover:
    """What `check` still finds afterwards, and why a person has to mend it."""

    finding: SourceFinding
    """Its line and column are those of the rewritten text."""
    why: str

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FixedText:
    """One module's source after the rewrite."""

    text: str
    changes: tuple[Change, ...]
    left: tuple[Leftover, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FixedFile:
    """One file, before and after."""

    path: str
    before: str
    after: str
    changes: tuple[Change, ...]
    left: tuple[Leftover, ...]

    @property
    def is_changed(self) -> bool:
        """Whether the rewrite made any difference."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the unified diff, its lines ended by LF whatever the file's own end with; empty without a change."""
        lines = difflib.unified_diff(
            self.before.splitlines(),
            self.after.splitlines(),
            fromfile=self.path,
            tofile=self.path,
            lineterm="",
        )
        return "".join(f"{line}\n" for line in lines)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data, with the diff in place of the two texts."""
        return {
            "path": self.path,
            "changed": self.is_changed,
            "changes": [asdict(change) for change in self.changes],
            "left": [asdict(leftover) for leftover in self.left],
            "diff": self.diff(),
        }


@dataclass(frozen=True, slots=True)
class FixReport:
    """What was rewritten, what was left, and what could not be read."""

    files: tuple[FixedFile, ...]
    """Those with a change or a leftover."""
    looked_at: int
    written: bool
    unreadable: tuple[str, ...]
    """One text for each file that is no Python, with its path and line."""

    @property
    def changed(self) -> tuple[FixedFile, ...]:
        """The files that the rewrite makes a difference to."""
        return tuple(file for file in self.files if file.is_changed)

    @property
    def left(self) -> tuple[Leftover, ...]:
        """What is left in all files."""
        return tuple(leftover for file in self.files for leftover in file.left)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "files": [file.as_dict() for file in self.files],
            "looked_at": self.looked_at,
            "written": self.written,
            "unreadable": list(self.unreadable),
        }
