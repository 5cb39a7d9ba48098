"""`fix`: every rewrite over every file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from unbroken.diagnose.source.check import TOO_DEEP, SourceFinding, check_text
from unbroken.diagnose.source.config import CheckConfig
from unbroken.diagnose.source.fixing import writing
from unbroken.diagnose.source.fixing.kept import inspects, why_kept
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.fixing.reasons import why
from unbroken.diagnose.source.fixing.report import Change, FixedFile, FixedText, FixReport, Leftover
from unbroken.diagnose.source.fixing.responses import MOVED
from unbroken.diagnose.source.fixing.rewrite import rewrite
from unbroken.diagnose.source.fixing.shared import shared_names
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.project import decoded, may_stream, read_project
from unbroken.diagnose.source.streams import streams
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
        OSError: A file cannot be replaced; those before it have been replaced then. Nothing is written before all
            files have been looked at.
    """
    config = config or CheckConfig()
    project = read_project(paths, config)
    config = replace(config, guarded=project.guarded)
    inspected = any(map(inspects, project.sources.values()))
    files: dict[Path, FixedFile] = {}
    unreadable = list(project.unreadable)
    for path, source in project.sources.items():
        if progress is not None:
            progress(path)
        if not may_stream(source):
            continue
        try:
            files[path] = _file(path, project.sources, config, inspected=inspected)
        except DiagnosisError as error:
            unreadable.append(str(error))
        except (RecursionError, MemoryError):
            unreadable.append(f"{path}: {TOO_DEEP}")
    for path, file in files.items():
        if write and file.is_changed:
            writing.write(path, writing.encoded(file.after, project.sources[path]))
    told = tuple(file for file in files.values() if file.is_changed or file.left)
    return FixReport(told, len(project.sources), write, tuple(unreadable))


def fix_text(text: str, *, path: str = "<text>", config: CheckConfig | None = None) -> FixedText:
    """Rewrite what is mechanical about the event streams of one module's source.

    Args:
        text: The source.
        path: What findings are reported under; the file is not read.
        config: All rules by default.

    Raises:
        DiagnosisError: It is no Python, or its expressions are nested too deeply to be read.
    """
    try:
        return _fixed(text, Path(path), config or CheckConfig(), frozenset(), inspected=inspects(text.encode()))
    except (RecursionError, MemoryError) as error:
        raise DiagnosisError(f"{path}: {TOO_DEEP}") from error


def _file(path: Path, sources: Mapping[Path, bytes], config: CheckConfig, *, inspected: bool) -> FixedFile:
    before = decoded(path, sources[path])
    fixed = _fixed(before, path, config, shared_names(path, sources), inspected=inspected)
    return FixedFile(str(path), before, writing.encodable(fixed.text, sources[path]), fixed.changes, fixed.left)


def _fixed(text: str, path: Path, config: CheckConfig, shared: frozenset[str], *, inspected: bool) -> FixedText:
    before = check_text(text, path=str(path), config=config)
    module = SourceModule(path, text, guarded=config.guarded)
    plan = Plan(module, config, _by_line(before), shared=shared, inspected=inspected)
    rewrite(plan)
    after = plan.applied()
    if not _parses(after) and _parses(text):
        return FixedText(text, (), tuple(Leftover(finding, BROKEN) for finding in before))
    left = before if after == text else check_text(after, path=str(path), config=config)
    kept = _kept(SourceModule(path, after), left, inspected=inspected)
    reasons = (kept.get(finding.line) if finding.code in MOVED else None for finding in left)
    told = tuple(Leftover(f, reason or why(f.code)) for f, reason in zip(left, reasons, strict=True))
    return FixedText(after, tuple(sorted(plan.changes, key=_place)), told)


def _kept(module: SourceModule, left: Iterable[SourceFinding], *, inspected: bool) -> dict[int, str]:
    """Return why responses stay what they are, by the lines on which `check` still complains of them."""
    if not any(finding.code in MOVED for finding in left):
        return {}
    reasons = ((stream, why_kept(module, stream, inspected=inspected)) for stream in streams(module))
    return {module.position(stream.at).start.line: reason for stream, reason in reasons if reason is not None}


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
