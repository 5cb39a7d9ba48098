"""What the commands of the diagnosis share: exit codes, a console, and errors as one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer
from rich.console import Console

from unbroken.errors import ConfigurationError, DiagnosisError, UnknownCauseError

__all__ = ["Exit", "code_span", "console", "count", "failing_in_one_line", "markdown_text", "print_json", "say"]


class Exit(IntEnum):
    """The exit codes, as ruff has them."""

    CLEAN = 0
    FOUND = 1
    ERROR = 2


def console(*, stderr: bool = False) -> Console:
    """Return a console: colours on a terminal, plain text in a pipe, and no line broken there."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def say(text: str) -> None:
    """Print to standard error, where it does not mix with what another program reads."""
    typer.echo(text, err=True)


def count(number: int, thing: str) -> str:
    """Return a number and what is counted, in the plural unless it is one."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def code_span(text: str) -> str:
    """Return text as Markdown shows it and does nothing else with it: a log may hold links and images of a stranger."""
    # CommonMark 6.1: a fence longer than any run of backquotes inside.
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def markdown_text(text: str) -> str:
    """Return a sentence as Markdown text in which nothing that a server sent has a meaning."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~])", r"\\\1", text)


def print_json(value: object) -> None:
    """Print plain data as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@contextmanager
def failing_in_one_line(command: str) -> Iterator[None]:
    """Turn what a user got wrong into one line and exit code 2."""
    try:
        yield
    except (ConfigurationError, DiagnosisError, UnknownCauseError, OSError) as error:
        say(f"unbroken {command}: {error}")
        raise typer.Exit(Exit.ERROR) from None
