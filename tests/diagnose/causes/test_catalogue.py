"""The catalogue holds what was agreed, and nothing in it is left open."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from unbroken.diagnose import CATALOGUE, Cause, Code, find_cause
from unbroken.errors import UnknownCauseError

IDS = [
    "client-closed",
    "write-after-close",
    "idle-timeout",
    "age-limit",
    "proxy-buffering",
    "compressed-stream",
    "shutdown-hangs",
    "slow-reader",
    "half-open-peer",
    "producer-failed",
    "middleware-breaks-stream",
    "cleanup-not-run",
    "disconnect-swallowed",
    "except-never-fires",
    "scope-across-yield",
    "loop-starved",
    "thread-held",
    "dependency-held",
    "workers-without-shared-log",
    "worker-killed",
    "unbounded-queue",
    "field-injection",
    "wrong-framing",
    "not-an-event-stream",
    "missing-headers",
    "connection-header",
    "import-does-not-exist",
    "status-after-start",
    "resume-ignored",
    "endless-reconnect",
    "head-request",
    "unreachable",
]

TEXTS = ("title", "meaning", "why", "detect", "fix", "workaround", "prevention", "versions")
MOST_LINES = 40

each_cause = pytest.mark.parametrize("cause", CATALOGUE, ids=lambda cause: cause.id)


def codes(cause: Cause) -> list[Code]:
    """The pieces of code of a cause: both or none."""
    return [code for code in (cause.broken, cause.fixed) if code is not None]


def test_ids_are_those_that_rules_and_reports_refer_to() -> None:
    """Every agreed cause is there once, and no other."""
    assert sorted(cause.id for cause in CATALOGUE) == sorted(IDS)


@each_cause
def test_no_text_is_left_open(cause: Cause) -> None:
    """Every text is there, is one line of plain sentences, and ends as one."""
    for name in TEXTS:
        text = getattr(cause, name)
        assert text, name
        assert text == " ".join(text.split()), name
        assert name == "title" or text.endswith((".", "`")), name
        assert text.count("`") % 2 == 0, name


@each_cause
def test_every_cause_says_where_it_is_known_from(cause: Cause) -> None:
    """A source is an address or a thread, and an estimate is a time that somebody can plan with."""
    assert cause.sources
    assert all(source.startswith("https://") or source.count("#") == source.count("/") == 1 for source in cause.sources)
    assert 1 <= cause.minutes <= 240


@each_cause
def test_code_comes_in_pairs(cause: Cause) -> None:
    """Broken code has its fixed counterpart, in the same language, and both fit on a page."""
    assert len({code.language for code in codes(cause)}) == len(codes(cause)) // 2
    assert [code.text for code in codes(cause) if len(code.text.splitlines()) > MOST_LINES] == []


def test_python_code_is_formatted_and_clean(tmp_path: Path) -> None:
    """What readers paste has no unused name, and the form that ruff gives it."""
    for cause in CATALOGUE:
        for number, code in enumerate(codes(cause)):
            if code.language == "python":
                (tmp_path / f"{cause.id}-{number}.py").write_text(code.text)
    for command in (("check", "--select", "F,E9"), ("format", "--diff")):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "--line-length", "120", "."]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_cause_cannot_be_changed() -> None:
    """Whoever reads the catalogue reads what everybody reads."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        CATALOGUE[0].title = "another"  # type: ignore[misc]


@each_cause
def test_cause_is_found_by_its_id(cause: Cause) -> None:
    """In any case, with spaces around, as people type it."""
    assert find_cause(cause.id) is find_cause(f" {cause.id.upper()} ") is cause


def test_unknown_cause_names_those_that_come_near() -> None:
    """A slip of the finger is answered with what was meant."""
    with pytest.raises(UnknownCauseError, match="did you mean proxy-buffering") as caught:
        find_cause("proxy-bufering")
    assert caught.value.id == "proxy-bufering"
    assert caught.value.near[0] == "proxy-buffering"


def test_nothing_comes_near() -> None:
    """Where nothing is like it, no guess is made."""
    with pytest.raises(UnknownCauseError) as caught:
        find_cause("zzz")
    assert caught.value.near == ()
