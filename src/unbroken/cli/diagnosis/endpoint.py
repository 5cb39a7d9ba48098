"""`unbroken doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from unbroken.cli.diagnosis.output import (
    Exit,
    code_span,
    console,
    failing_in_one_line,
    markdown_text,
    print_json,
)
from unbroken.errors import ConfigurationError, DiagnosisError

if TYPE_CHECKING:
    from unbroken.diagnose.endpoint import Examination, Options, Verdict
    from unbroken.diagnose.endpoint import Progress as Step

__all__ = ["doctor"]


class Format(StrEnum):
    """How an examination is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


MARKS: Final = {
    "pass": ("✓", "green"),
    "skip": ("-", "dim"),
    "info": ("i", "cyan"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "bold red"),
}


def doctor(
    url: Annotated[str, typer.Argument(help="The event stream: https://example.org/events", show_default=False)],
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="`Name: value`. Repeatable.")] = None,
    post: Annotated[str | None, typer.Option(help="Send this body by POST; `@FILE` reads it from a file.")] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="The POST may be sent more than once.")] = False,
    thorough: Annotated[
        bool,
        typer.Option("--thorough/--quick", help="Also the rough probes: freeze, half-close, reset, several at once."),
    ] = False,
    event_limit: Annotated[int, typer.Option(help="Leave a stream after so many events.")] = 100,
    watch: Annotated[float | None, typer.Option(help="Seconds to watch; 5, or 25 if thorough.")] = None,
    silence: Annotated[float, typer.Option(help="Seconds more to keep the stream open, to find what cuts it.")] = 0.0,
    connections: Annotated[int, typer.Option(help="How many at once, if thorough; at most 20.")] = 5,
    total_timeout: Annotated[float | None, typer.Option(help="Seconds after which what is left is skipped.")] = None,
    ca: Annotated[Path | None, typer.Option(help="File of certificates to trust.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Do not verify the certificate.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for a warning too.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say which requests it would make, and make none.")] = False,
    output_format: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.TEXT,
) -> None:
    """Probe a live event stream, and say what is wrong with it. Exit code 1: a check failed; 2: it could not begin."""
    from unbroken.diagnose.endpoint import Options, Outcome

    with failing_in_one_line("doctor"):
        options = Options(
            method="GET" if post is None else "POST",
            headers=tuple(_header(text) for text in header or ()),
            body=None if post is None else _body(post),
            repeat=repeat,
            thorough=thorough,
            event_limit=event_limit,
            watch=watch,
            silence=silence,
            connections=connections,
            total_timeout=total_timeout,
            verify=ca if ca is not None else not insecure,
        )
        if plan:
            _print_plan(url, options)
            return
        examination = _examine(url, options)
        _print(examination, output_format)
    bad = {Outcome.FAIL, Outcome.WARN} if strict else {Outcome.FAIL}
    raise typer.Exit(Exit.FOUND if examination.worst in bad else Exit.CLEAN)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        # Not the text: it may be a credential without its name.
        raise ConfigurationError("--header has no colon: give it as 'Name: value'")
    return name.strip(), value.strip()


def _body(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise DiagnosisError(f"--post {text}: {error.strerror}") from error


def _examine(url: str, options: Options) -> Examination:
    from unbroken.diagnose.endpoint import examine

    with _showing() as progress:
        return asyncio.run(examine(url, options, progress=progress))


@contextmanager
def _showing() -> Iterator[Callable[[Step], None]]:
    """Show what is being done, on a terminal."""
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("")
        yield lambda step: bar.update(task, completed=step.step, total=step.steps, description=step.doing)


def _print_plan(url: str, options: Options) -> None:
    from unbroken.diagnose.endpoint import plan

    out = console()
    for request in plan(options, url):
        headers = ", ".join(f"{name}: {value}" for name, value in request.headers)
        out.print(Text(f"{request.at_most} x {request.method} for: {request.purpose} ({headers})"))


def _print(examination: Examination, output_format: Format) -> None:
    if output_format is Format.JSON:
        print_json(examination.as_dict())
    elif output_format is Format.MARKDOWN:
        typer.echo(markdown(examination))
    else:
        _print_text(console(), examination)


def _print_text(out: Console, examination: Examination) -> None:
    out.print(Text(examination.url, "bold"))
    rows = list(_rows(examination))
    if out.is_terminal:
        out.print(_table(rows))
    else:
        out.print(Text("\n".join(f"{outcome:<4}  {names:<17}  {_indented(told)}" for outcome, names, told in rows)))
    out.print(Text(_summary(examination)))


def _rows(examination: Examination) -> Iterator[tuple[str, str, str]]:
    """Yield outcome, checks and text; those that were skipped for the same reason are one row."""
    for (outcome, told), verdicts in groupby(examination.verdicts, lambda verdict: (verdict.outcome, _told(verdict))):
        if outcome == "skip":
            yield outcome, ", ".join(verdict.check for verdict in verdicts), told
        else:
            yield from ((outcome, verdict.check, told) for verdict in verdicts)


def _table(rows: list[tuple[str, str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(max_width=17)
    table.add_column(overflow="fold")
    for outcome, names, told in rows:
        mark, colour = MARKS[outcome]
        table.add_row(Text(f"{mark} {outcome}", colour), Text(names), Text(told))
    return table


def _indented(told: str) -> str:
    """Return what is told for a pipe: one line that can be searched, what follows from it indented below."""
    return told.replace("\n", "\n      ")


def _told(verdict: Verdict) -> str:
    lines = [verdict.saw, verdict.means, f"Fix: {verdict.fix}" if verdict.fix else ""]
    if verdict.cause is not None:
        lines.append(f"More: unbroken explain {verdict.cause}")
    return "\n".join(line for line in lines if line)


def _summary(examination: Examination) -> str:
    counts = {mark: sum(verdict.outcome == mark for verdict in examination.verdicts) for mark in MARKS}
    told = ", ".join(f"{count} {mark}" for mark, count in counts.items() if count)
    return f"{told}. {len(examination.requests)} requests in {examination.seconds:.1f} s."


def markdown(examination: Examination) -> str:
    """Return an examination as a Markdown document with one table."""
    rows = [_row(verdict) for verdict in examination.verdicts]
    head = [f"# {code_span(examination.url)}", "", "| outcome | check | saw | means | fix |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", _summary(examination)])


def _row(verdict: Verdict) -> str:
    cells = (verdict.outcome, verdict.check, verdict.saw, verdict.means, verdict.fix)
    return f"| {' | '.join(_cell(text) for text in cells)} |"


def _cell(text: str) -> str:
    return markdown_text(text).replace("\n", " ")
