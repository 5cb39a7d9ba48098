"""The demo's board without a browser: a server that is killed is there again, and nothing is left at the end."""

from __future__ import annotations

import http.client
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.demo_process import Demo, running_demo
from tests.cli.demo_reader import Reader

DEADLINE = 20.0


class Tab:
    """An open tab: what the demo tells it."""

    def __init__(self, reports: Reader) -> None:
        self.welcome: dict[str, Any] = json.loads(next(reports.events).data)
        self._reports = reports

    def report(self, kind: str) -> Any:
        """Return the next report of a kind."""
        return json.loads(next(event.data for event in self._reports.events if event.event == kind))

    def pid(self, after: int | None = None) -> int:
        """Return the server's process, as soon as there is one, and another than before."""
        while True:
            pid = self.report("server")["pid"]
            if pid not in (None, after):
                return int(pid)


@contextmanager
def tab_of(demo: Demo) -> Iterator[Tab]:
    """Open a tab."""
    reports = Reader(demo.port, "/board/tab")
    try:
        yield Tab(reports)
    finally:
        reports.close()


def post(port: int, path: str, body: str = "") -> tuple[int, str]:
    """Post something, and return the answer's status and text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody waits for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """Run a demo whose temporary files are in a place of their own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with running_demo() as demo:
        yield demo


def test_a_killed_server_is_replaced(demo: Demo) -> None:
    """What was acknowledged is there after SIGKILL, on the same port, and its key still counts."""
    with tab_of(demo) as tab:
        port, pid = tab.welcome["server"], tab.pid()
        status, position = post(port, "/cards?key=k", "first")
        assert post(demo.port, f"/board/tab/{tab.welcome['tab']}/kill") == (204, "")
        assert tab.pid(after=pid) != pid
        assert (status, post(port, "/cards?key=k", "first")) == (200, (200, position))
        board = Reader(tab.welcome["hop"], "/events")
        assert next((event.data, event.last_event_id) for event in board.events) == ("first", position)
        board.close()
    assert demo.stop() == 0
    assert "Traceback" not in demo.said


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_server_ends_with_the_demo(demo: Demo, tmp_path: Path, signal_number: signal.Signals) -> None:
    """However the demo ends, the server that it started does not stay, nor does its database."""
    with tab_of(demo) as tab:
        pid = tab.pid()
        post(tab.welcome["server"], "/cards?key=k", "first")
        assert list(tmp_path.glob("unbroken-demo-*/board.db"))
        demo.stop(signal_number)
    wait_until(lambda: is_gone(pid))
    assert list(tmp_path.iterdir()) == []


def test_published_keys_are_told(demo: Demo) -> None:
    """What one tab had acknowledged, the others hear past the board."""
    with tab_of(demo) as one, tab_of(demo) as other:
        assert one.welcome["letter"] != other.welcome["letter"]
        assert post(demo.port, f"/board/tab/{one.welcome['tab']}/published?key=k") == (204, "")
        assert (one.report("published"), other.report("published")) == (["k"], ["k"])


@pytest.mark.parametrize("path", ["nobody/cut", "nobody/published", "{tab}/explode"])
def test_unknown(demo: Demo, path: str) -> None:
    """A tab that is not open can do nothing, and nobody what there is not."""
    with tab_of(demo) as tab:
        assert post(demo.port, f"/board/tab/{path.format(tab=tab.welcome['tab'])}")[0] == 404
