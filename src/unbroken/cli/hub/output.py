"""What the commands of a hub share: how they write, and how they fail."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from unbroken.cli.diagnosis.output import Exit, say
from unbroken.errors import TopicClosed, UnbrokenError

__all__ = ["as_json", "columns", "ending_well", "shown", "write"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def shown(text: str) -> str:
    """Return text without what a terminal obeys: it may be a stranger's. Tabs and ends of lines stay."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def as_json(value: object) -> str:
    """Return plain data as JSON in one line, without what a terminal obeys."""
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write(line: str) -> None:
    """Write a line to standard output, now: whoever reads a pipe gets it while we wait for the next."""
    typer.echo(line.encode())  # UTF-8, whatever the locale says


def columns(rows: Sequence[Sequence[str]], right: Sequence[int]) -> Iterator[str]:
    """Yield rows as lines of aligned columns, those whose numbers are in `right` to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


@contextmanager
def ending_well(command: str) -> Iterator[None]:
    """Turn what went wrong into one line and an exit code, and let a reader of our output leave when it likes."""
    try:
        yield
    except TopicClosed as error:
        say(f"unbroken hub {command}: {error}")
        raise typer.Exit(Exit.FOUND) from None
    except UnbrokenError as error:
        say(f"unbroken hub {command}: {error}")
        raise typer.Exit(Exit.ERROR) from None
    except BrokenPipeError:
        # Or the interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.CLEAN) from None
