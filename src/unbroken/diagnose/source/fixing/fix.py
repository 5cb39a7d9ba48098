"""`fix`: every rewrite over every file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from unbroken.diagnose.source.check import SourceFinding, check_text
from unbroken.diagnose.source.config import CheckConfig
from unbroken.diagnose.source.fixing import writing
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.fixing.reasons import why
from unbroken.diagnose.source.fixing.report import Change, FixedFile, FixedText, FixReport, Leftover
from unbroken.diagnose.source.fixing.rewrite import rewrite
from unbroken.diagnose.source.fixing.shared import shared_names
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.project import decoded, may_stream, read_project
from unbroken.errors import DiagnosisError

__all__ = ["fix", "fix_text"]

BROKEN: Final = "the rewrite came out as no Python, so the file stays as it is; please report it"


def fix(
    paths: Iterable[Path | str],
    *,
    config: CheckConfig | None = None,
    write: bool = False,
    progress: Callable[[Path], object] | None = None,
) -> FixReport:
    """Rewrite what is mechanical about the event streams in the Python files of `paths`.

    A function whose name stands in another of these files, beside the name of its module, keeps what it yields. So
    give all of a project, its tests too.

    Args:
        paths: Files, and directories to be walked.
        config: All rules by default; what a rule is not wanted for is not rewritten for its sake.
        write: Put the result in the place of each file that differs, at once and with its mode, encoding and line
            ends; False by default, which only reports.
        progress: Called with each file before it is looked at.

    Raises:
        DiagnosisError: A path that is not there.
        OSError: A file cannot be replaced; those before it have been replaced then.
    """
    config = config or CheckConfig()
    project = read_project(paths, config)
    config = replace(config, guarded=project.guarded)
    files: list[FixedFile] = []
    unreadable = list(project.unreadable)
    for path, source in project.sources.items():
        if progress is not None:
            progress(path)
        if not may_stream(source):
            continue
        try:
            files.append(_file(path, project.sources, config, is_written=write))
        except DiagnosisError as error:
            unreadable.append(str(error))
    told = tuple(file for file in files if file.is_changed or file.left)
    return FixReport(told, len(project.sources), write, tuple(unreadable))


def fix_text(text: str, *, path: str = "<text>", config: CheckConfig | None = None) -> FixedText:
    """Rewrite what is mechanical about the event streams of one module's source.

    Args:
        text: The source.
        path: What findings are reported under; the file is not read.
        config: All rules by default.

    Raises:
        DiagnosisError: It is no Python.
    """
    return _fixed(text, Path(path), config or CheckConfig(), frozenset())


def _file(path: Path, sources: Mapping[Path, bytes], config: CheckConfig, *, is_written: bool) -> FixedFile:
    before = decoded(path, sources[path])
    fixed = _fixed(before, path, config, shared_names(path, sources))
    if is_written and fixed.text != before:
        writing.write(path, writing.encoded(fixed.text, sources[path]))
    return FixedFile(str(path), before, fixed.text, fixed.changes, fixed.left)


def _fixed(text: str, path: Path, config: CheckConfig, shared: frozenset[str]) -> FixedText:
    before = check_text(text, path=str(path), config=config)
    plan = Plan(SourceModule(path, text, guarded=config.guarded), config, _by_line(before))
    rewrite(plan, shared)
    after = plan.applied()
    if not _parses(after) and _parses(text):
        return FixedText(text, (), tuple(Leftover(finding, BROKEN) for finding in before))
    left = before if after == text else check_text(after, path=str(path), config=config)
    return FixedText(after, tuple(sorted(plan.changes, key=_place)), tuple(Leftover(f, why(f.code)) for f in left))


def _place(change: Change) -> tuple[int, str]:
    return change.line, change.what


def _by_line(findings: Iterable[SourceFinding]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for finding in findings:
        found.setdefault(finding.line, set()).add(finding.code)
    return found


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True
