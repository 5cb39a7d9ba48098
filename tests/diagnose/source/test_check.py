from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from unbroken.diagnose.source import CheckConfig, check, check_text, find_config
from unbroken.diagnose.source.rules import RULES
from unbroken.errors import ConfigurationError, DiagnosisError

PLAIN = """\
from starlette.responses import StreamingResponse
import asyncio

async def ticks():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)

async def endpoint(request):
    return StreamingResponse(ticks(), media_type="text/event-stream")
"""
GUARD = "from unbroken import EventStreamGuard\napp = EventStreamGuard(print)\n"


def codes(text: str, config: CheckConfig | None = None) -> list[str]:
    """Return the codes of what is found in `text`."""
    return [finding.code for finding in check_text(text, config=config)]


def test_a_finding_says_where_and_what() -> None:
    """A finding has the path, line and column of its place, its rule, its cause, and says what to do."""
    finding = check_text(PLAIN, path="app.py", config=CheckConfig(select=("SSE012",)))[0]
    assert (finding.path, finding.line, finding.column) == ("app.py", 10, 12)
    assert (finding.end_line, finding.end_column) == (10, 70)
    assert (finding.code, finding.rule, finding.cause) == ("SSE012", "missing-headers", "missing-headers")
    assert finding.fixable
    assert "`X-Accel-Buffering: no`" in finding.message
    assert json.loads(json.dumps(finding.as_dict()))["line"] == 10


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("# noqa", []),
        ("# NOQA", []),
        ("# noqa: SSE012", ["SSE017"]),
        ("# noqa: E501, SSE017", ["SSE012"]),
        ("# noqa:sse012 SSE017", []),
        ("# noqa: E501", ["SSE012", "SSE017"]),
        ("# noqa: SSE", ["SSE012", "SSE017"]),
        ("# noqa:", ["SSE012", "SSE017"]),
        ("# a note", ["SSE012", "SSE017"]),
    ],
)
def test_noqa_excuses_the_codes_that_it_names(comment: str, left: list[str]) -> None:
    """`# noqa` excuses all of a line, `# noqa: SSE…` those codes; other tools' codes excuse nothing."""
    assert codes(PLAIN.replace('event-stream")', f'event-stream")  {comment}')) == left


def test_noqa_in_a_string_excuses_nothing() -> None:
    """A text is no comment."""
    assert codes(PLAIN.replace("    return S", '    text = "# noqa"; return S')) == ["SSE012", "SSE017"]


def test_a_fifo_is_no_source(tmp_path: Path) -> None:
    """It is passed by: reading it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "odd.py")
    (tmp_path / "streams.py").write_text(PLAIN)
    assert check([tmp_path]).files == 1


def test_noqa_may_stand_on_the_last_line_of_a_call() -> None:
    """A call over several lines is excused on its first line or on its last."""
    text = PLAIN.replace("(ticks(), media", "(\n        ticks(),\n        media").replace(
        '"text/event-stream")', '"text/event-stream",\n    )  # noqa: SSE012, SSE017'
    )
    assert codes(text) == []


@pytest.mark.parametrize(
    ("config", "left"),
    [
        (CheckConfig(select=("SSE01",)), ["SSE012", "SSE017"]),
        (CheckConfig(select=("SSE012",)), ["SSE012"]),
        (CheckConfig(select=("SSE",), ignore=("SSE017",)), ["SSE012"]),
        (CheckConfig(select=("SSE012",), ignore=("SSE01",)), []),
    ],
)
def test_select_and_ignore_take_codes_and_their_beginnings(config: CheckConfig, left: list[str]) -> None:
    """`select` says what is looked for, `ignore` wins over it; both take beginnings of codes."""
    assert codes(PLAIN, config) == left


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ('select = ["ABC"]', "'ABC' is no rule"),
        ('selct = ["SSE"]', "has no 'selct': it knows select, ignore, exclude, guarded"),
        ('select = "SSE"', "has to be a list of strings"),
        ("ignore = [1]", "has to be a list of strings"),
        ("guarded = 1", "has to be true or false"),
        ("select = [", "is no TOML"),
    ],
)
def test_a_bad_configuration_says_its_file_and_what_may_stand_there(tmp_path: Path, table: str, error: str) -> None:
    """Each error of `[tool.unbroken]` names the file, the value and what it may be."""
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.unbroken]\n{table}\n")
    with pytest.raises(ConfigurationError) as raised:
        find_config(tmp_path)
    assert error in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    """`unbroken = 1` under `[tool]` is an error, and no empty table."""
    (tmp_path / "pyproject.toml").write_text("[tool]\nunbroken = 1\n")
    with pytest.raises(ConfigurationError, match="has to be a table"):
        find_config(tmp_path)


def test_the_nearest_configuration_holds(tmp_path: Path) -> None:
    """The nearest `pyproject.toml` that has the table is taken; one without it is passed over."""
    inner = tmp_path / "package" / "module"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.unbroken]\nignore = ["SSE012"]\nguarded = true\n')
    (tmp_path / "package" / "pyproject.toml").write_text("[tool.other]\n")
    assert find_config(inner) == CheckConfig(ignore=("SSE012",), guarded=True)


def test_directories_are_walked_and_what_is_excluded_is_not(tmp_path: Path) -> None:
    """`.py` files below a directory are looked at, but not those of a virtual environment or of `exclude`."""
    for name in ("app.py", "sub/api.py", "sub/old/api.py", ".venv/lib/x.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PLAIN)
    report = check([tmp_path], config=CheckConfig(exclude=("old",)))
    assert (report.files, report.streams) == (2, 2)
    assert {Path(finding.path).relative_to(tmp_path).as_posix() for finding in report.findings} == {
        "app.py",
        "sub/api.py",
    }


def test_a_named_file_is_looked_at_whatever_it_is_called(tmp_path: Path) -> None:
    """A path that is given is taken, also without `.py`; given twice it is one file."""
    path = tmp_path / "script"
    path.write_text(PLAIN)
    seen: list[Path] = []
    report = check([path, str(path)], progress=seen.append)
    assert seen == [path]
    assert [finding.code for finding in report.findings] == ["SSE012", "SSE017"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A wrong path is an error, and no clean result."""
    with pytest.raises(DiagnosisError, match="no such file"):
        check([tmp_path / "missing.py"])


def test_what_cannot_be_read_is_told_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    """A file that is no Python, or in no encoding that fits, is named in the report; the others are checked."""
    (tmp_path / "a.py").write_text("StreamingResponse(\n")
    (tmp_path / "b.py").write_bytes(b"# StreamingResponse \xff\n")
    (tmp_path / "c.py").write_text(PLAIN)
    report = check([tmp_path])
    assert [text.partition(":")[0].rpartition("/")[2] for text in report.unreadable] == ["a.py", "b.py"]
    assert [Path(finding.path).name for finding in report.findings] == ["c.py", "c.py"]
    assert report.as_dict()["files"] == 3


def test_a_declared_encoding_is_obeyed(tmp_path: Path) -> None:
    """A source in Latin-1 that says so is read, and its columns are those of characters."""
    path = tmp_path / "app.py"
    path.write_bytes(("# -*- coding: latin-1 -*-\nNAME = 'caf\u00e9'\n" + PLAIN).encode("latin-1"))
    assert [(f.line, f.code) for f in check([path]).findings] == [(12, "SSE012"), (12, "SSE017")]


def test_a_guard_in_one_module_protects_the_others(tmp_path: Path) -> None:
    """Where one of the files that are looked at adds an `EventStreamGuard`, the streams of all are behind it."""
    (tmp_path / "streams.py").write_text(PLAIN)
    assert len(check([tmp_path]).findings) == 2
    (tmp_path / "main.py").write_text(GUARD)
    assert check([tmp_path]).findings == ()


def test_a_guard_in_a_test_protects_nothing(tmp_path: Path) -> None:
    """It is tried out there; what is served has none."""
    (tmp_path / "streams.py").write_text(PLAIN)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "apps.py").write_text(GUARD)
    (tmp_path / "test_main.py").write_text(GUARD)
    assert len(check([tmp_path]).findings) == 2


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """It neither passes for clean nor keeps the others from being looked at."""
    (tmp_path / "streams.py").write_text(PLAIN)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    report = check([tmp_path])
    assert len(report.findings) == 2
    assert report.unreadable == (f"{tmp_path / 'gone.py'}: cannot be read: No such file or directory",)


def test_a_guard_that_is_not_ours_protects_nothing(tmp_path: Path) -> None:
    """The word alone is no guard: it has to be unbroken's."""
    (tmp_path / "streams.py").write_text(PLAIN)
    (tmp_path / "main.py").write_text("class EventStreamGuard: ...\napp = EventStreamGuard()\n")
    assert len(check([tmp_path]).findings) == 2


def test_a_configured_guard_protects() -> None:
    """`guarded = true` says that a guard is there although no module shows it."""
    assert codes(PLAIN, CheckConfig(guarded=True)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from starlette.responses import StreamingResponse", "from fastapi.responses import StreamingResponse"),
        (
            "from starlette.responses import StreamingResponse",
            "from starlette.responses import StreamingResponse as Answer\nStreamingResponse = Answer",
        ),
        ("from starlette.responses import StreamingResponse", "import starlette.responses as http"),
    ],
)
def test_names_are_resolved_through_aliases(old: str, new: str) -> None:
    """However a response is imported, it is known."""
    text = PLAIN.replace(old, new)
    if "as http" in new:
        text = text.replace("return StreamingResponse", "return http.StreamingResponse")
    if "Answer" in new:
        text = text.replace("return StreamingResponse", "return Answer")
    assert codes(text) == ["SSE012", "SSE017"]


def test_another_class_of_the_same_name_is_none() -> None:
    """A `StreamingResponse` that is not Starlette's is left alone."""
    assert codes(PLAIN.replace("from starlette.responses", "from elsewhere")) == []


def test_a_module_without_streams_has_no_findings() -> None:
    """What does not stream is not judged, whatever it does."""
    assert codes("import time\n\ndef numbers():\n    while True:\n        yield 1\n        time.sleep(1)\n") == []


def test_the_codes_are_stable_and_the_rules_documented() -> None:
    """The rules are SSE001 to SSE021, each with a summary and what it does not see."""
    assert [rule.code for rule in RULES] == [f"SSE{number:03d}" for number in range(1, 22)]
    assert all(rule.summary and rule.limits for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)
