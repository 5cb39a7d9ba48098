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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.cli.tail.support import DEADLINE, Answer, answering, environment

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
def on_terminal(
    *arguments: str, columns: int = 100, piped: bool = False, variables: Mapping[str, str] = TERM
) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Run the command on a terminal, with its output in a pipe if that is said."""
    terminal = Terminal(columns)
    command = (sys.executable, "-m", "unbroken", "tail", *arguments)
    out = subprocess.PIPE if piped else terminal.slave
    with subprocess.Popen(
        command,
        stdin=terminal.slave,
        stdout=out,
        stderr=terminal.slave,
        env=environment(**{**TERM, **variables}),
    ) as process:
        try:
            yield process, terminal
        finally:
            process.kill()
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


def test_a_narrow_terminal() -> None:
    """The line is cut, so that it does not begin another one."""
    with answering(Answer(body(1), "hold")) as asked, on_terminal(asked.url, columns=20) as (process, terminal):
        terminal.read_until(lambda: terminal.lines[-1].startswith("open, 1 event"))
        assert len(terminal.lines[-1]) == 19
        assert end(process, terminal) == 0


def test_colours() -> None:
    """Id and type have one; the data has only what it brought, which is shown and not obeyed."""
    told = Answer(b"id: 1\ndata: \x1b[31ma\n\n", "hold")
    with answering(told) as asked, on_terminal(asked.url, "--count", "1") as (process, terminal):
        assert process.wait(DEADLINE) == 0
        terminal.drain()
    line = re.search(r"(\x1b\[\d+m)1\x1b\[0m  (\x1b\[\d+m)message\x1b\[0m  (\S*)\r\n", terminal.raw)
    assert line is not None
    assert line[1] != line[2]
    assert line[3] == r"\x1b[31ma"


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colours(variables: dict[str, str]) -> None:
    """Where they are not wanted, or not understood."""
    with (
        answering(Answer(b"retry: 1\nid: 1\ndata: a\n\n"), Answer(b"data: b\n\n")) as asked,
        on_terminal(asked.url, "--count", "2", variables=variables) as (process, terminal),
    ):
        assert process.wait(DEADLINE) == 0
        terminal.drain()
    assert not COLOUR.search(terminal.raw)
    assert [line for line in terminal.lines if "message" in line] == ["1  message  a", "1  message  b"]


def test_an_output_in_a_pipe() -> None:
    """There is no line at the bottom: what reads the pipe may write to the same terminal. Notices are there."""
    with (
        answering(Answer(body(1)), Answer(body(2))) as asked,
        on_terminal(asked.url, "--count", "2", piped=True) as (process, terminal),
    ):
        out, _ = process.communicate(timeout=DEADLINE)
        terminal.drain()
    assert out == b"1  tick  1\n    more\n2  tick  2\n    more\n"
    assert ERASE not in terminal.raw
    assert re.sub(r"\d\.\d", "0.0", "\n".join(terminal.lines)) == (
        "unbroken tail: the stream ended; again in 0.0 s\nunbroken tail: open again, after 1\n"
    )


def test_quiet_on_a_terminal() -> None:
    """Nothing but the events."""
    with answering(Answer(body(1)), Answer(body(2))) as asked, on_terminal(asked.url, "-q") as (process, terminal):
        assert process.wait(DEADLINE) == 0
        terminal.drain()
    assert terminal.lines == ["1  tick  1", "    more", "2  tick  2", "    more", ""]
