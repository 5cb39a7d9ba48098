"""`unbroken explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from unbroken.cli.diagnosis.causes import COLOURS, cause_as_dict, paragraph, print_cause, print_causes
from unbroken.cli.diagnosis.output import Exit, code_span, console, count, failing_in_one_line, print_json, say
from unbroken.diagnose import CATALOGUE, Cause, find_cause
from unbroken.errors import DiagnosisError, UnknownCauseError

if TYPE_CHECKING:
    from unbroken.diagnose.logs import Explanation, LogFinding

__all__ = ["explain"]


class Format(StrEnum):
    """How an explanation is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def explain(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="Log files (`-` for standard input), or causes and rules by their names."),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List every cause.")] = False,
    output_format: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TEXT,
) -> None:
    """Say what a log, a cause or a rule means, and what to do. Exit code 1: the log holds something; 2: unreadable."""
    with failing_in_one_line("explain"):
        if list_all:
            _list(output_format)
        elif what and not any(name == "-" or Path(name).exists() for name in what):
            for cause in [_named(name) for name in what]:
                _print_cause(cause, output_format)
        else:
            _explain_logs(what or ["-"], output_format)


def _list(output_format: Format) -> None:
    if output_format is Format.JSON:
        print_json([cause_as_dict(cause) for cause in CATALOGUE])
    elif output_format is Format.MARKDOWN:
        typer.echo("\n".join(f"- `{cause.id}` ({cause.severity}): {cause.title}" for cause in CATALOGUE))
    else:
        print_causes(console())


def _named(name: str) -> Cause:
    """Return a cause by its id, or by the code of a rule."""
    if name.upper().startswith("SSE"):
        from unbroken.diagnose.source.rules import RULES

        name = next((rule.cause for rule in RULES if rule.code == name.upper()), name)
    try:
        return find_cause(name)
    except UnknownCauseError as error:
        if error.near:
            raise
        raise DiagnosisError(f"{name}: there is no such file, and no cause or rule of that name") from None


def _print_cause(cause: Cause, output_format: Format) -> None:
    if output_format is Format.JSON:
        print_json(cause_as_dict(cause))
    elif output_format is Format.MARKDOWN:
        from unbroken.diagnose.pages import page_of

        typer.echo(page_of(cause))
    else:
        print_cause(console(), cause)


def _explain_logs(names: list[str], output_format: Format) -> None:
    from unbroken.diagnose.logs import explain as read

    if names == ["-"] and typer.get_text_stream("stdin").isatty():
        say("unbroken explain: reading standard input; end it with Ctrl-D. `unbroken explain --help` shows other ways.")
    with _reading(names) as progress:
        explanation = read(names, progress=progress)
    if output_format is Format.JSON:
        print_json({**explanation.as_dict(), "causes": _causes(explanation)})
    elif output_format is Format.MARKDOWN:
        typer.echo(markdown(explanation))
    else:
        _print_text(console(), explanation)
    raise typer.Exit(Exit.FOUND if explanation.findings else Exit.CLEAN)


@contextmanager
def _reading(names: list[str]) -> Iterator[Callable[[int], object]]:
    """Show how far the reading is, on a terminal."""
    sizes = [Path(name).stat().st_size for name in names if Path(name).is_file()]
    total = sum(sizes) if len(sizes) == len(names) else None
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _causes(explanation: Explanation) -> dict[str, object]:
    """Return what is to be done, once for each cause that was found."""
    return {cause.id: {"title": cause.title, "fix": cause.fix} for cause in _found(explanation)}


def _found(explanation: Explanation) -> list[Cause]:
    return [find_cause(name) for name in dict.fromkeys(finding.cause for finding in explanation.findings)]


def _print_text(out: Console, explanation: Explanation) -> None:
    for cause in _found(explanation):
        severity = (cause.severity, COLOURS[cause.severity])
        out.print(Text.assemble((_title(cause, explanation), "bold"), f"  ({cause.id}, ", severity, ")"))
        for finding in explanation.findings:
            if finding.cause == cause.id:
                _print_finding(out, finding)
        out.print(Text(paragraph(out, f"Fix: {cause.fix}")))
        out.print(Text(f"  More: unbroken explain {cause.id}\n", "dim"))
    out.print(Text(_summary(explanation)))


def _title(cause: Cause, explanation: Explanation) -> str:
    certain = any(finding.certain for finding in explanation.findings if finding.cause == cause.id)
    return cause.title if certain else f"Perhaps: {cause.title}"


def _print_finding(out: Console, finding: LogFinding) -> None:
    out.print(Text(f"  {_headline(finding)}"))
    for evidence in finding.evidence:
        where = f"  [{evidence.where}]" if evidence.where else ""
        out.print(Text.assemble((f"    {evidence.source}:{evidence.line}: ", "dim"), evidence.text, where))


def _headline(finding: LogFinding) -> str:
    """Return where, how often and when, and at which second a hop cuts."""
    parts = [finding.route or "(no route in the log)", f"{finding.count} times" if finding.count > 1 else "once"]
    if finding.first is not None and finding.last is not None:
        first, last = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (finding.first, finding.last))
        parts.append(f"at {first} UTC" if first == last else f"from {first} to {last} UTC")
    if finding.seconds is not None:
        parts.append(
            f"cut after {finding.seconds:.3g} s" if finding.certain else f"all end after {finding.seconds:.3g} s"
        )
    if finding.likely:
        parts.append(f"likely {finding.likely}" if finding.certain else f"not certain by what: {finding.likely}")
    return ", ".join(parts)


def _summary(explanation: Explanation) -> str:
    found = count(len(explanation.findings), "finding") if explanation.findings else "Nothing that breaks streams"
    ends = f"{explanation.streams:,} end{'' if explanation.streams == 1 else 's'} of streams"
    seen = f"{count(explanation.tracebacks, 'traceback')}, {ends}"
    others = f"{count(explanation.unrelated, 'sign')} where nothing is known to stream"
    lines = [f"{found} in {count(explanation.lines, 'line')}: {seen}, {others}."]
    lines += [f"Left out: {count:,} {what}" for what, count in explanation.dropped.items()]
    return "\n".join(lines)


def markdown(explanation: Explanation) -> str:
    """Return an explanation as a Markdown document."""
    lines = ["# What the logs show", ""]
    for cause in _found(explanation):
        lines += [f"## {_title(cause, explanation)}", "", f"`{cause.id}`, {cause.severity}", ""]
        for finding in explanation.findings:
            if finding.cause == cause.id:
                lines += [f"- {code_span(_headline(finding))}", "", *_quoted(finding), ""]
        lines += [cause.fix, ""]
    return "\n".join([*lines, _summary(explanation)])


def _quoted(finding: LogFinding) -> list[str]:
    # Four more spaces than the item's make a code block, in which nothing that a log holds has a meaning.
    return [f"      {evidence.source}:{evidence.line}: {evidence.text}" for evidence in finding.evidence]
