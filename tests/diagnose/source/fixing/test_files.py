"""Files: what is read, what is written, and what is told of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from unbroken.diagnose.source import CheckConfig
from unbroken.diagnose.source.fixing import fix
from unbroken.diagnose.source.fixing.writing import write
from unbroken.errors import DiagnosisError

SOURCE = """\
import asyncio
from starlette.responses import StreamingResponse


async def events():
    await asyncio.sleep(1)
    yield "data: {text}\\n\\n"


async def endpoint(request):
    return StreamingResponse(events(), media_type="text/event-stream")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a stream to be rewritten."""
    path = tmp_path / "feed.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_nothing_is_written_unless_asked_for(path: Path) -> None:
    """`fix` reports what it would do, and leaves the file as it is."""
    report = fix([path])
    assert [file.path for file in report.changed] == [str(path)]
    assert not report.written
    assert path.read_text(encoding="utf-8") == SOURCE


def test_what_is_written_is_what_was_reported(path: Path) -> None:
    """With `write` the file holds the text of the report, and nothing else is left in its folder."""
    report = fix([path], write=True)
    assert path.read_text(encoding="utf-8") == report.files[0].after
    assert "EventSourceResponse(events())" in report.files[0].after
    assert list(path.parent.iterdir()) == [path]


def test_a_second_run_writes_nothing(path: Path) -> None:
    """A file without a change is not touched: it stays the very file that it is."""
    fix([path], write=True)
    before = path.stat()
    assert not fix([path], write=True).changed
    assert path.stat().st_ino == before.st_ino


def test_mode_and_symbolic_link_stay(path: Path) -> None:
    """What is executable stays so, and a link goes on leading to the file."""
    path.chmod(0o751)
    link = path.with_name("link.py")
    link.symlink_to(path)
    fix([link], write=True)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o751
    assert "EventSourceResponse" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("encoding", "prologue"),
    [("utf-8", ""), ("utf-8-sig", ""), ("latin-1", "# coding: latin-1\n")],
    ids=["utf-8", "byte-order-mark", "latin-1"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_encoding_and_line_ends_stay(path: Path, encoding: str, prologue: str, end: str) -> None:
    """Every line of the result ends as the file's own do, in the encoding that the file declares."""
    text = prologue + SOURCE.replace("{text}", "é")
    path.write_bytes(text.replace("\n", end).encode(encoding))
    fix([path], write=True)
    written = path.read_bytes()
    assert written.startswith(text[:4].encode(encoding)[:3])
    assert 'yield "é"' in written.decode(encoding)
    assert written.count(b"\n") == written.count(end.encode())
    assert written.count(b"EventSourceResponse") == 2


def test_a_file_that_is_no_python_is_told_of_and_left(path: Path) -> None:
    """One broken file is named with its line, and the others are rewritten all the same."""
    broken = path.with_name("broken.py")
    broken.write_text("StreamingResponse(\n", encoding="utf-8")
    report = fix([path.parent], write=True)
    assert [str(broken) in text for text in report.unreadable] == [True]
    assert broken.read_text(encoding="utf-8") == "StreamingResponse(\n"
    assert [file.path for file in report.changed] == [str(path)]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A slip in a name is not the same as nothing to do."""
    with pytest.raises(DiagnosisError, match="no such file"):
        fix([tmp_path / "nowhere.py"])


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where the new file cannot take the old one's place, the old stands as it was, and nothing beside it."""
    folder = tmp_path / "folder.py"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write(folder, b"x")
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_test_of_the_project_uses_yields_what_it_yielded(path: Path) -> None:
    """A generator that another file imports keeps its frames."""
    test = path.with_name("test_feed.py")
    test.write_text("from feed import events\n\n\ndef test():\n    assert events()\n", encoding="utf-8")
    (changed,) = fix([path.parent]).changed
    assert 'yield "data: {text}' in changed.after
    assert "preframed=True" in changed.after


def test_a_guard_in_one_file_keeps_the_responses_of_all(path: Path) -> None:
    """Where a module adds `EventStreamGuard`, the others' streams stand behind it."""
    guard = path.with_name("main.py")
    guard.write_text("from unbroken import EventStreamGuard\n\napp = EventStreamGuard(None)\n", encoding="utf-8")
    assert not fix([path.parent]).changed


def test_excluded_files_are_not_rewritten(path: Path) -> None:
    """`exclude` is `check`'s own."""
    assert not fix([path.parent], config=CheckConfig(exclude=("feed.py",))).changed


def test_the_diff_is_one_that_patch_takes(path: Path) -> None:
    """It has the file's name on both sides and both lines of each change."""
    (file,) = fix([path]).changed
    lines = file.diff().splitlines()
    assert lines[:2] == [f"--- {path}", f"+++ {path}"]
    assert '-    return StreamingResponse(events(), media_type="text/event-stream")' in lines
    assert "+    return EventSourceResponse(events())" in lines


def test_the_report_is_plain_data(path: Path) -> None:
    """`as_dict` has the diff, the changes and what is left, for a program to read."""
    path.write_text(SOURCE.replace("asyncio.sleep(1)", "asyncio.sleep(input())"), encoding="utf-8")
    data: dict[str, Any] = json.loads(json.dumps(fix([path]).as_dict()))
    assert data["looked_at"] == 1
    assert data["written"] is False
    (file,) = data["files"]
    assert file["changed"] is True
    assert [left["finding"]["code"] for left in file["left"]] == ["SSE007"]
    assert all(left["why"] for left in file["left"])
    assert {change["line"] for change in file["changes"]} == {7, 11}


def test_progress_names_each_file(path: Path) -> None:
    """Whoever watches is told of each file before it is looked at."""
    seen: list[str] = []
    fix([path.parent], progress=lambda file: seen.append(os.fspath(file)))
    assert seen == [str(path)]
