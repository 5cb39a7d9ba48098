"""How the commands of `unbroken hub` end where something is closed, full, or interrupted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.hub.support import fill, run, topics_in, url_of

DEADLINE = 20.0


def started(url: str, *arguments: str, redirection: str = "") -> subprocess.Popen[str]:
    """Run the command as a shell does, its output in pipes unless it is redirected."""
    command = ("sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "unbroken", "hub", *arguments)
    environment: Mapping[str, str] = {**os.environ, "UNBROKEN_HUB_URL": url}
    return subprocess.Popen(
        command, text=True, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_what_is_closed_or_full(tmp_path: Path) -> None:
    """One line, exit code 2; an event that was published is said to be, and none is where its id has no place."""
    fill(tmp_path, "t", "x")
    runs = {
        "standard input is closed": started(url_of(tmp_path), "publish", "in", redirection="<&-"),
        "standard output is closed": started(url_of(tmp_path), "publish", "out", "x", redirection=">&-"),
        "(No space left on device), but the event is published: ": started(
            url_of(tmp_path), "publish", "full", "x", redirection=">/dev/full"
        ),
        "standard output cannot be written (No space left on device)": started(
            url_of(tmp_path), "stats", "--json", redirection=">/dev/full"
        ),
    }
    for said, process in runs.items():
        out, error = process.communicate(timeout=DEADLINE)
        assert (process.returncode, out, len(error.splitlines())) == (2, "", 1), error
        assert said in error
    assert topics_in(tmp_path) == ["full", "t"]


def test_nobody_to_be_asked(tmp_path: Path) -> None:
    """Where standard input is closed, `trim` drops nothing without `--yes`."""
    fill(tmp_path, "t", *"abc")
    with started(url_of(tmp_path), "trim", "t", "--max-events", "1", redirection="<&-") as process:
        out, error = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (2, "")
    assert "there is nobody to be asked" in error
    assert "3 events" in run(tmp_path, "stats", "t").stdout


def test_ctrl_c_before_it_is_done() -> None:
    """Exit code 130, and one line: it cannot be said that it was done; that a topic was followed neither."""
    commands = (["publish", "t", "x"], ["stats"], ["tail", "t", "--new"])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}?timeout=60"
        runs = [started(url, *command) for command in commands]
        held = [silent.accept()[0] for _ in commands]
        for command, process in zip(commands, runs, strict=True):
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=DEADLINE)
            assert (process.returncode, out, error) == (130, "", f"unbroken hub {command[0]}: interrupted\n")
        for connection in held:
            connection.close()
