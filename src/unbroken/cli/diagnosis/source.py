"""`unbroken check` and `unbroken fix`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from unbroken.cli.diagnosis.output import Exit, console, count, failing_in_one_line, print_json, say

if TYPE_CHECKING:
    from unbroken.diagnose.source import CheckConfig, CheckReport, FixReport, SourceFinding

__all__ = ["check", "fix"]

Paths = Annotated[list[Path], typer.Argument(help="Files and directories; `.` by default.", show_default=False)]
Select = Annotated[
    list[str] | None, typer.Option(help="Codes, or beginnings of codes, to look for: SSE002,SSE01. Repeatable.")
]
Ignore = Annotated[list[str] | None, typer.Option(help="Codes, or beginnings of codes, to leave out.")]


class Format(StrEnum):
    """How findings in source are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


class FixFormat(StrEnum):
    """How a rewrite is told."""

    TEXT = "text"
    JSON = "json"


def check(
    paths: Paths = [Path()],  # noqa: B006 # typer copies it
    select: Select = None,
    ignore: Ignore = None,
    output_format: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TEXT,
) -> None:
    """Look for code that breaks event streams. Exit code 1: something was found; 2: it could not be looked for."""
    from unbroken.diagnose.source import check as look

    with failing_in_one_line("check"):
        config = configured(paths, select, ignore)
        with looking(len(paths)) as progress:
            report = look(paths, config=config, progress=progress)
    _print(report, output_format)
    for text in report.unreadable:
        say(f"unbroken check: {text}")
    raise typer.Exit(Exit.FOUND if report.findings else Exit.ERROR if report.unreadable else Exit.CLEAN)


def fix(
    paths: Paths = [Path()],  # noqa: B006 # typer copies it
    select: Select = None,
    ignore: Ignore = None,
    diff: Annotated[bool, typer.Option("--diff", help="Print what would be rewritten, and write nothing.")] = False,
    output_format: Annotated[FixFormat, typer.Option("--format", help="What to print.")] = FixFormat.TEXT,
) -> None:
    """Rewrite what is mechanical, and say what is left. Exit code 1: something is left, or --diff would change it."""
    from unbroken.diagnose.source import fix as rewrite

    with failing_in_one_line("fix"):
        report = rewrite(paths, config=configured(paths, select, ignore), write=not diff)
    if output_format is FixFormat.JSON:
        print_json(report.as_dict())
    elif diff:
        typer.echo("".join(file.diff() for file in report.changed), nl=False)
        _print_fixes(console(stderr=True), report)
    else:
        _print_fixes(console(), report)
    for text in report.unreadable:
        say(f"unbroken fix: {text}")
    found = report.left or (diff and report.changed)
    raise typer.Exit(Exit.FOUND if found else Exit.ERROR if report.unreadable else Exit.CLEAN)


def _print_fixes(out: Console, report: FixReport) -> None:
    for file in report.files:
        for change in file.changes:
            code = (f"{change.code} ", "bold green") if change.code else ""
            out.print(Text.assemble((file.path, "bold"), f":{change.line}: ", code, change.what))
    for leftover in report.left:
        out.print(finding_line(leftover.finding))
        out.print(Text(f"    left to you: {leftover.why}"))
    done = "Rewrote" if report.written else "Would rewrite"
    changes = sum(len(file.changes) for file in report.files)
    out.print(f"{done} {count(changes, 'place')} in {count(len(report.changed), 'file')}; {len(report.left)} left.")


def configured(paths: list[Path], select: list[str] | None, ignore: list[str] | None) -> CheckConfig:
    """Return the project's configuration, with what the command line says instead of it."""
    from unbroken.diagnose.source import find_config

    config = find_config(paths[0] if paths[0].is_dir() else paths[0].parent)
    if select:
        config = replace(config, select=_codes(select))
    if ignore:
        config = replace(config, ignore=_codes(ignore))
    return config


def _codes(given: list[str]) -> tuple[str, ...]:
    return tuple(code.strip().upper() for text in given for code in text.split(",") if code.strip())


@contextmanager
def looking(paths: int) -> Iterator[Callable[[Path], object]]:
    """Show the file that is looked at, on a terminal."""
    with console(stderr=True).status("") as status:
        yield lambda path: status.update(Text(str(path)))


def _print(report: CheckReport, output_format: Format) -> None:
    if output_format is Format.JSON:
        print_json(report.as_dict())
    elif output_format is Format.SARIF:
        from unbroken.cli.diagnosis.sarif import sarif

        print_json(sarif(report))
    elif output_format is Format.GITHUB:
        for finding in report.findings:
            typer.echo(_annotation(finding))
    else:
        _print_text(console(), report)


def _print_text(out: Console, report: CheckReport) -> None:
    for finding in report.findings:
        out.print(finding_line(finding))
    out.print(_summary(report))


def finding_line(finding: SourceFinding) -> Text:
    """Return a finding as one line, as linters write them."""
    return Text.assemble(
        (finding.path, "bold"),
        f":{finding.line}:{finding.column}: ",
        (finding.code, "bold red"),
        *((" [", ("*", "cyan"), "]") if finding.fixable else ()),
        f" {finding.message} ",
        (f"({finding.cause})", "dim"),
    )


def _summary(report: CheckReport) -> str:
    looked = f"{count(report.streams, 'stream')} in {count(report.files, 'file')}"
    if not report.findings:
        return f"Nothing found: {looked}."
    fixable = sum(finding.fixable for finding in report.findings)
    causes = list(dict.fromkeys(finding.cause for finding in report.findings))
    lines = [f"Found {count(len(report.findings), 'problem')}: {looked}."]
    if fixable:
        lines.append(f"[*] {fixable} of a kind that `unbroken fix` mends; `unbroken fix --diff` shows how.")
    lines.append(f"Why, and what to do: unbroken explain {causes[0]}" + "".join(f" | {cause}" for cause in causes[1:]))
    return "\n".join(lines)


def _annotation(finding: SourceFinding) -> str:
    """Return a GitHub workflow command, which shows the finding beside the line of a pull request."""
    where = f"file={_property(finding.path)},line={finding.line},col={finding.column}"
    end = f"endLine={finding.end_line},endColumn={finding.end_column}"
    title = _property(f"{finding.code} {finding.rule}")
    return f"::error {where},{end},title={title}::{_data(f'{finding.message} ({finding.cause})')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
