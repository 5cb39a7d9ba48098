"""`unbroken tail` on a terminal: colours, and a line at the bottom that never mixes with the events."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from tests.cli.tail.support import DEADLINE, ODD_VARIABLES, Answer, answering, environment
from unbroken.cli.commands import app

COLOUR = re.compile(r"\x1b\[\d+m")
ERASE = "\r\x1b[K"
TERM = {"TERM": "xterm-256color"}


class Terminal:
    """A pseudo-terminal, and what came to it."""

    def __init__(self, columns: int) -> None:
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.raw = ""

    @property
    def lines(self) -> list[str]:
        """What stands in each line, of what was written there last, without colours."""
        return [line.split(ERASE)[-1] for line in COLOUR.sub("", self.raw).split("\r\n")]

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Take in what comes until it is enough."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0], self.raw
            self.raw += os.read(self._master, 65536).decode()

    def drain(self) -> None:
        """Take in what is left, once nobody writes any more."""
        while select.select([self._master], [], [], 0)[0]:
            self.raw += os.read(self._master, 65536).decode()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._master)
        os.close(self.slave)


@contextmanager
def on_terminal(*arguments: str, columns: int = 100) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Run the command on a terminal, as a process."""
    terminal = Terminal(columns)
    command = (sys.executable, "-m", "unbroken", "tail", *arguments)
    slave, variables = terminal.slave, environment(**TERM)
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=variables) as process:
        try:
            yield process, terminal
        finally:
            process.kill()
            terminal.close()


Shown = Callable[..., Terminal]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Run the command up to its end in this process, on a terminal of its own, and return that."""
    terminal = Terminal(100)
    screen = os.fdopen(os.dup(terminal.slave), "w")

    def run_there(*arguments: str, out: TextIO = screen, **variables: str) -> Terminal:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", screen)
        for name in ODD_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in {**TERM, **variables}.items():
            monkeypatch.setenv(name, value)
        assert app(["tail", *arguments], standalone_mode=False) == 0
        terminal.drain()
        return terminal

    yield run_there
    screen.close()
    terminal.close()


def end(process: subprocess.Popen[bytes], terminal: Terminal) -> int:
    """Interrupt the command, and return its exit code."""
    process.send_signal(signal.SIGINT)
    code = process.wait(DEADLINE)
    terminal.drain()
    return code


def body(*numbers: int) -> bytes:
    """Return events, which a server's heartbeats follow."""
    events = b"".join(b"id: %d\nevent: tick\ndata: %d\ndata: more\n\n" % (number, number) for number in numbers)
    return b"retry: 1\n" + events + b": keep-alive\n\n"


def test_a_line_at_the_bottom() -> None:
    """State and figures; it stands below the events and notices, never in or between them, and is gone at the end.

    A terminal that does not tell its width, as here, is taken for one of 80 columns.
    """
    with (
        answering(Answer(body(1, 2)), Answer(body(3), "hold")) as asked,
        on_terminal(asked.url, columns=0) as (process, terminal),
    ):
        stands = re.compile(r"open, 3 events, \d+\.\d/s, 1 reconnection, last heartbeat \d s ago")
        terminal.read_until(lambda: bool(stands.fullmatch(terminal.lines[-1])))
        before = terminal.lines[:-1]
        assert end(process, terminal) == 0
    told = [f"{n}  tick  {n}" for n in (1, 2, 3)]
    assert [line for line in before if line in told] == told
    assert before.count("    more") == 3
    assert before[4].startswith("unbroken tail: the stream ended; again in ")
    assert before[5] == "unbroken tail: open again, after 2"
    assert len(before) == 8
    assert terminal.lines == [*before, "unbroken tail: to go on from here: --after 3", ""]


def test_a_narrow_terminal(shown: Shown) -> None:
    """The line is cut, so that it does not begin another one."""
    with answering(Answer(body(1), "hold")) as asked:
        drawn = shown(asked.url, "--count", "1", COLUMNS="20").raw.split(ERASE)
    assert "open, 0 events, 0.0" in [COLOUR.sub("", line) for line in drawn]


def test_colours(shown: Shown) -> None:
    """Id and type have one; the data has only what it brought, which is shown and not obeyed."""
    with answering(Answer(b"id: 1\ndata: \x1b[31ma\n\n", "hold")) as asked:
        terminal = shown(asked.url, "--count", "1")
    line = re.search(r"(\x1b\[\d+m)1\x1b\[0m  (\x1b\[\d+m)message\x1b\[0m  (\S*)\r\n", terminal.raw)
    assert line is not None
    assert line[1] != line[2]
    assert line[3] == r"\x1b[31ma"


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colours(shown: Shown, variables: dict[str, str]) -> None:
    """Where they are not wanted, or not understood."""
    with answering(Answer(b"retry: 1\nid: 1\ndata: a\n\n"), Answer(b"data: b\n\n")) as asked:
        terminal = shown(asked.url, "--count", "2", **variables)
    assert not COLOUR.search(terminal.raw)
    assert [line for line in terminal.lines if "message" in line] == ["1  message  a", "1  message  b"]


def test_an_output_in_a_file(shown: Shown, tmp_path: Path) -> None:
    """There is no line at the bottom: what reads a pipe may write to the same terminal. Notices are there."""
    with answering(Answer(body(1)), Answer(body(2))) as asked, (tmp_path / "out").open("w") as out:
        terminal = shown(asked.url, "--count", "2", out=out)
    assert (tmp_path / "out").read_bytes() == b"1  tick  1\n    more\n2  tick  2\n    more\n"
    assert ERASE not in terminal.raw
    assert re.sub(r"\d\.\d", "0.0", "\n".join(terminal.lines)) == (
        "unbroken tail: the stream ended; again in 0.0 s\nunbroken tail: open again, after 1\n"
    )


def test_quiet_on_a_terminal(shown: Shown) -> None:
    """Nothing but the events."""
    with answering(Answer(body(1)), Answer(body(2))) as asked:
        terminal = shown(asked.url, "-q")
    assert terminal.lines == ["1  tick  1", "    more", "2  tick  2", "    more", ""]
