"""What holds of every log."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.diagnose.logs.corpus import EXCERPTS, FOLDER, Key, shown
from unbroken.diagnose.logs import explain, sources

NAMES = tuple(excerpt.name for excerpt in EXCERPTS)
LINES = tuple(sorted({line for excerpt in EXCERPTS for line in excerpt.path.read_bytes().splitlines(keepends=True)}))
ONE_WORKER = (
    "uvicorn-producer-raises.log",
    "uvicorn-fastapi-sse-client-left.log",
    "uvicorn-http-exception-in-generator.log",
    "uvicorn-send-timeout.log",
    "anyio-scope-other-task.log",
    "hypercorn-vanished-client.log",
    "unbroken-own-lines.log",
    "ok-redis-reset.log",
    "ok-upload-disconnect.log",
    "uvicorn-shutdown-limit.log",
)


@given(st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=80)), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read(parts: list[bytes]) -> None:
    """Whatever a log holds, reading it raises nothing, counts its lines, and says only what can be printed."""
    data = b"".join([b"-", *parts])  # which no packed file begins with
    explanation = explain([io.BytesIO(data)])
    assert explanation.lines == data.count(b"\n") + (not data.endswith(b"\n"))
    assert explanation.bytes_read == len(data)
    for finding in explanation.findings:
        assert all(evidence.text.isprintable() and len(evidence.text) <= 300 for evidence in finding.evidence)
        assert finding.route is None or finding.route.isprintable()


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_where_a_log_is_cut_makes_no_difference(names: list[str], block: int) -> None:
    """A log read in pieces of any size shows what it shows in one."""
    data = b"".join((FOLDER / name).read_bytes() for name in names)
    whole = explain([io.BytesIO(data)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK", block)
        pieces = explain([io.BytesIO(data)])
    assert pieces == whole


@given(st.sampled_from(ONE_WORKER), st.sampled_from(ONE_WORKER), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_interleaved_workers_are_told_apart(one: str, other: str, chance: object) -> None:
    """Two workers whose lines are mixed in any way give the findings that each gives alone."""
    first, second = _prefixed(one, "web-1"), _prefixed(other, "web-2")
    apart: Counter[Key] = shown(explain([io.BytesIO(b"".join(first))])) + shown(explain([io.BytesIO(b"".join(second))]))
    choose = getattr(chance, "random")  # noqa: B009 - hypothesis gives it no public type
    mixed: list[bytes] = []
    while first or second:
        lines = first if first and (not second or choose() < 0.5) else second
        mixed.append(lines.pop(0))
    assert shown(explain([io.BytesIO(b"".join(mixed))])) == apart


def _prefixed(name: str, worker: str) -> list[bytes]:
    lines = (FOLDER / name).read_bytes().splitlines(keepends=True)
    return [f"{worker}  | ".encode() + line for line in lines]


@given(st.binary(max_size=300), st.sampled_from([b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"]))
@settings(max_examples=60, deadline=None)
def test_broken_packing_is_no_error(rest: bytes, magic: bytes) -> None:
    """A file that only begins like a packed one is read as far as it goes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        path.write_bytes(magic + rest)
        assert explain([path]).findings == ()
