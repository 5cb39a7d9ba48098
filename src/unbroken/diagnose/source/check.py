"""`check`: every rule over every file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from unbroken.diagnose.source.config import CheckConfig
from unbroken.diagnose.source.excuses import Excuses
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.project import decoded, may_stream, read_project
from unbroken.diagnose.source.rules import RULES, Problem, Rule, Subject
from unbroken.diagnose.source.streams import streams
from unbroken.errors import DiagnosisError

__all__ = ["CheckReport", "SourceFinding", "check", "check_text"]

TOO_DEEP: Final = "its expressions are nested too deeply to be read"


@dataclass(frozen=True, slots=True, order=True)
class SourceFinding:
    """One place in the source that breaks, or will break, a stream."""

    path: str
    line: int
    """From 1."""
    column: int
    """From 1."""
    code: str
    rule: str
    cause: str
    """The id in the catalogue."""
    message: str
    fixable: bool
    end_line: int
    end_column: int

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found, where it was looked for, and what could not be read."""

    findings: tuple[SourceFinding, ...]
    files: int
    streams: int
    unreadable: tuple[str, ...]
    """One text for each file that is no Python, with its path and line, or that cannot be read."""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def check(
    paths: Iterable[Path | str],
    *,
    config: CheckConfig | None = None,
    progress: Callable[[Path], object] | None = None,
) -> CheckReport:
    """Look for what breaks event streams in the Python files of `paths`.

    Args:
        paths: Files, and directories to be walked.
        config: All rules by default; `find_config` reads a project's own.
        progress: Called with each file before it is looked at.

    Raises:
        DiagnosisError: A path that is not there.
    """
    config = config or CheckConfig()
    project = read_project(paths, config)
    findings: list[SourceFinding] = []
    unreadable = list(project.unreadable)
    seen = 0
    for path, source in project.sources.items():
        if progress is not None:
            progress(path)
        if not may_stream(source):
            continue
        try:
            found, count = _look(path, decoded(path, source), config, project.guarded)
        except DiagnosisError as error:
            unreadable.append(str(error))
        else:
            findings += found
            seen += count
    return CheckReport(tuple(sorted(findings)), len(project.sources), seen, tuple(unreadable))


def check_text(text: str, *, path: str = "<text>", config: CheckConfig | None = None) -> tuple[SourceFinding, ...]:
    """Look for what breaks event streams in one module's source.

    Raises:
        DiagnosisError: It is no Python, or its expressions are nested too deeply to be read.
    """
    config = config or CheckConfig()
    return tuple(sorted(_look(Path(path), text, config, config.guarded)[0]))


def _look(path: Path, text: str, config: CheckConfig, guarded: bool) -> tuple[list[SourceFinding], int]:
    try:
        return _findings_in(path, text, config, guarded)
    except (RecursionError, MemoryError) as error:
        raise DiagnosisError(f"{path}: {TOO_DEEP}") from error


def _findings_in(path: Path, text: str, config: CheckConfig, guarded: bool) -> tuple[list[SourceFinding], int]:
    module = SourceModule(path, text, guarded=guarded)
    subject = Subject(module, tuple(streams(module)))
    excuses = Excuses(text)
    found = [
        finding
        for rule in RULES
        if config.wants(rule.code)
        for finding in _findings(rule, subject)
        if not excuses.cover(finding.code, finding.line, finding.end_line)
    ]
    return list(dict.fromkeys(found)), len(subject.streams)


def _findings(rule: Rule, subject: Subject) -> Iterator[SourceFinding]:
    for problem in rule.find(subject):
        yield _finding(rule, subject.module, problem)


def _finding(rule: Rule, module: SourceModule, problem: Problem) -> SourceFinding:
    where = module.position(problem.node)
    return SourceFinding(
        path=str(module.path),
        line=where.start.line,
        column=where.start.column + 1,
        code=rule.code,
        rule=rule.name,
        cause=rule.cause,
        message=problem.message,
        fixable=rule.fixable,
        end_line=where.end.line,
        end_column=where.end.column + 1,
    )
