"""What the commands that follow something share: how they write, and how they end."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

import typer

from unbroken.cli.diagnosis.output import Exit, say
from unbroken.errors import ConfigurationError, TopicClosed, UnbrokenError

__all__ = ["OutputLost", "as_json", "ending_well", "in_one_line", "shown", "tell", "write"]

INTERRUPTED = 130
"""The exit code of what Ctrl-C has ended, as shells have it: 128 and the number of SIGINT."""

# Besides the control characters: what ends a line for some readers, and what turns the direction of the text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Return text without what a terminal obeys: it may be a stranger's. Tabs and ends of lines stay."""
    return _CONTROL.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def in_one_line(text: str) -> str:
    """Return text as one line without what a terminal obeys: a stranger's shall not look like a line of ours."""
    return shown(text).replace("\n", "\\n")


def as_json(value: object, indent: int | None = None) -> str:
    """Return plain data as JSON, without what a terminal obeys; in one line unless it is indented."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class OutputLost(Exception):  # noqa: N818 - nobody's error of ours
    """What was to be written to standard output was not."""


def write(line: str) -> None:
    """Write a line to standard output, now: whoever reads a pipe gets it while we wait for the next.

    Raises:
        BrokenPipeError: nobody reads any more.
        OutputLost: it cannot be written, as on a full disk.
    """
    try:
        _write_whole(line.encode() + b"\n")  # UTF-8, whatever the locale says
    except OSError as error:
        _give_up(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputLost(f"standard output cannot be written ({error.strerror})") from None


def _write_whole(line: bytes) -> None:
    out, left = sys.stdout.buffer, memoryview(line)
    while left:
        # PYTHONUNBUFFERED: each call may take a part, or nothing where it would have to wait.
        written = out.write(left)
        if written is None:
            raise BlockingIOError(errno.EAGAIN, "its reader is too slow, and it is set not to wait")
        left = left[written:]
    out.flush()


def _give_up(stream: TextIO) -> None:
    # Or the interpreter would try again when it flushes at its end, and complain.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def tell(text: str) -> None:
    """Print a notice to standard error. Where it cannot be written, all goes on: nothing is lost but the notice."""
    try:
        say(text)
    except OSError:
        _give_up(sys.stderr)


@contextmanager
def ending_well(command: str) -> Iterator[None]:
    """Turn what went wrong into one line and an exit code, and let a reader of our output leave when it likes."""
    try:
        _refuse_closed_output()
        yield
    except TopicClosed as error:
        _leave(command, str(error), Exit.FOUND)
    except (UnbrokenError, OutputLost) as error:
        _leave(command, str(error), Exit.ERROR)
    except KeyboardInterrupt:
        _leave(command, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        raise typer.Exit(Exit.CLEAN) from None


def _refuse_closed_output() -> None:
    if sys.stdout is None:
        raise ConfigurationError("standard output is closed: give a file, such as /dev/null")


def _leave(command: str, text: str, code: int) -> NoReturn:
    tell(f"unbroken {command}: {in_one_line(text)}")
    raise typer.Exit(code) from None
