"""`unbroken fix`: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from unbroken.cli.commands import app

BROKEN = """\
from fastapi.responses import StreamingResponse


async def numbers():
    yield "data: 1\\n\\n"  # the first


def events():
    return StreamingResponse(numbers(), media_type="text/event-stream")
"""
FIXED = """\
from unbroken import EventSourceResponse


async def numbers():
    yield "1"  # the first


def events():
    return EventSourceResponse(numbers())
"""
LEFT = """\
import asyncio
from unbroken import EventSourceResponse


async def numbers():
    queue = asyncio.Queue()
    listeners.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        listeners.discard(queue)


listeners = set()


def events():
    return EventSourceResponse(numbers())
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one broken file, to be in."""
    (tmp_path / "pyproject.toml").write_text("[tool.unbroken]\n")
    (tmp_path / "app.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["fix", *arguments])


def test_what_is_mechanical_is_written(project: Path) -> None:
    """The file is rewritten, each change is said, nothing is left: exit code 0."""
    done = run()
    assert (project / "app.py").read_text() == FIXED
    assert done.exit_code == 0
    *changes, last = done.stdout.splitlines()
    assert all(line.startswith("app.py:") for line in changes)
    assert last.startswith("Rewrote ")
    assert last.endswith("in 1 file; 0 left.")


def test_a_second_run_does_nothing(project: Path) -> None:
    """Exit code 0, and no change to tell."""
    run()
    done = run()
    assert (done.exit_code, done.stdout) == (0, "Rewrote 0 places in 0 files; 0 left.\n")


def test_a_diff_writes_nothing(project: Path) -> None:
    """Standard output is a patch and nothing else, so that it can be applied; exit code 1 says that there is one."""
    done = run("--diff")
    assert (project / "app.py").read_text() == BROKEN
    assert done.exit_code == 1
    assert done.stdout.startswith("--- app.py\n+++ app.py\n@@ ")
    assert {line[0] for line in done.stdout.splitlines()} == {"-", "+", "@", " "}
    assert "Would rewrite " in done.stderr


def test_what_is_left_is_said_with_its_reason(project: Path) -> None:
    """Exit code 1, the finding as `check` writes it, and why a person has to mend it."""
    (project / "app.py").write_text(LEFT)
    done = run()
    assert done.exit_code == 1
    assert (project / "app.py").read_text() == LEFT
    finding, why, last = done.stdout.splitlines()
    assert finding.startswith("app.py:6:13: SSE009 ")
    assert why.startswith("    left to you: ")
    assert last == "Rewrote 0 places in 0 files; 1 left."


def test_json(project: Path) -> None:
    """What was done, and the diff, as plain data."""
    report = json.loads(run("--format", "json").stdout)
    (file,) = report["files"]
    assert (file["path"], file["changed"], file["left"]) == ("app.py", True, [])
    assert file["diff"].startswith("--- app.py")
    assert report["written"] is True


def test_what_is_excused_is_not_rewritten(project: Path) -> None:
    """By `--ignore`, as by `# noqa`: a file without a finding stays as it is."""
    assert run("--ignore", "SSE", "--diff").stdout == ""
    assert (project / "app.py").read_text() == BROKEN
