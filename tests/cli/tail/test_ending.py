"""`unbroken tail` as a process: in a pipe, and how it ends where something is closed, full, or interrupted."""

from __future__ import annotations

import io
import os
import shlex
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.tail.support import DEADLINE, Answer, answering, tailing
from tests.diagnose.endpoint.serving import serving
from unbroken import EventSourceResponse, ServerSentEvent
from unbroken.cli.commands import app


def test_a_pipe_and_ctrl_c() -> None:
    """A line is there as soon as its event is; Ctrl-C ends it with exit code 0, and says how to go on, on one line.

    The server's id has no say in what a shell does with that.
    """
    id_ = "1 $(reboot) 'é;"
    with answering(Answer(f"id: {id_}\ndata: a\n\n".encode(), "hold")) as asked, tailing(asked.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{id_}  message  a\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, "")
    said, option = error.rstrip("\n").split(": --after ")
    assert said == "unbroken tail: to go on from here"
    assert shlex.split(option) == [id_]


def test_ctrl_c_with_a_store(tmp_path: Path) -> None:
    """There is nothing to be said: the next run goes on behind what was printed."""
    place = tmp_path / "place"
    body = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n"
    with answering(Answer(body, "hold")) as asked, tailing(asked.url, "--store", str(place)) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["1  message  a\n", "2  message  b\n"]
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out, error) == (0, "", "")
    assert place.read_text() == "2"


def test_a_pipe_that_is_closed() -> None:
    """`… | head -1` ends it without a word."""

    async def talking(scope: object, receive: object, send: object) -> None:
        events = (ServerSentEvent("x" * 1000) for _ in range(1000))
        await EventSourceResponse(events)(scope, receive, send)  # type: ignore[arg-type]

    with serving(talking) as url, tailing(url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(DEADLINE) == 0
        assert process.stderr.read() == ""


def test_ctrl_c_before_it_is_open() -> None:
    """Exit code 130, and one line."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        with tailing(f"http://127.0.0.1:{silent.getsockname()[1]}/") as process:
            held = silent.accept()[0]
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=DEADLINE)
            held.close()
    assert (process.returncode, out, error) == (130, "", "unbroken tail: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_is_full(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2."""
    with answering(Answer(b"data: a\n\n", "hold")) as asked, Path("/dev/full").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert app(["tail", asked.url], standalone_mode=False) == 2
    said = capsys.readouterr().err
    assert said == "unbroken tail: standard output cannot be written (No space left on device)\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_notices_that_cannot_be_written() -> None:
    """Only they are lost: the events go on, and the end is a good one."""
    answers = (Answer(b"retry: 1\nid: 1\ndata: a\n\n"), Answer(b"id: 2\ndata: b\n\n"))
    with answering(*answers) as asked, tailing(asked.url, redirection="2>/dev/full") as process:
        out, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, "1  message  a\n2  message  b\n")


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
def test_an_output_that_does_not_wait(unbuffered: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pipe that is full and set not to block ends it, with exit code 2; the place does not pass what was printed.

    Unbuffered, as by PYTHONUNBUFFERED, Python's own streams say nothing of what they have not taken.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    place = tmp_path / "place"
    body = b"".join(b"id: %d\ndata: %b\n\n" % (number, b"x" * 1000) for number in range(1, 201))
    with os.fdopen(reading, "rb") as pipe, answering(Answer(body, "hold")) as asked:
        with io.TextIOWrapper(os.fdopen(writing, "wb", 0 if unbuffered else -1)) as out:
            monkeypatch.setattr(sys, "stdout", out)
            assert app(["tail", asked.url, "--store", str(place)], standalone_mode=False) == 2
        lines = pipe.read().decode().split("\n")[:-1]
    assert lines == [f"{number}  message  {'x' * 1000}" for number in range(1, len(lines) + 1)]
    assert int(place.read_text()) <= len(lines)
