"""`unbroken tail` as a process: in a pipe, and how it ends where something is closed, full, or interrupted."""

from __future__ import annotations

import shlex
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.tail.support import DEADLINE, Answer, answering, tailing
from tests.diagnose.endpoint.serving import serving
from unbroken import EventSourceResponse, ServerSentEvent


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

    async def app(scope: object, receive: object, send: object) -> None:
        events = (ServerSentEvent("x" * 1000) for _ in range(1000))
        await EventSourceResponse(events)(scope, receive, send)  # type: ignore[arg-type]

    with serving(app) as url, tailing(url) as process:
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
def test_an_output_that_is_full() -> None:
    """One line, exit code 2."""
    with answering(Answer(b"data: a\n\n", "hold")) as asked, tailing(asked.url, redirection=">/dev/full") as process:
        out, error = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (2, "")
    assert error == "unbroken tail: standard output cannot be written (No space left on device)\n"
