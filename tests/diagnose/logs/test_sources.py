"""Logs in whatever they are packed, and however long their lines are."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from tests.diagnose.logs.corpus import FOLDER, shown
from unbroken.diagnose.logs import explain
from unbroken.errors import DiagnosisError

SAMPLE = (FOLDER / "uvicorn-producer-raises.log").read_bytes()
FOUND = {("producer-failed", "/chat/{id}"): 1}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_packed_logs_are_known_by_their_first_bytes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A packed log shows what it shows unpacked, whatever its name is, and its own bytes are counted."""
    path = tmp_path / "a.log"
    path.write_bytes(pack(SAMPLE))
    seen: list[int] = []
    explanation = explain([path], progress=seen.append)
    assert shown(explanation) == FOUND
    assert sum(seen) == explanation.bytes_read == path.stat().st_size
    assert explanation.sources == (str(path),)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    """A log that PowerShell redirected into a file shows what it shows in UTF-8, packed or not."""
    data = SAMPLE.decode().encode(encoding)
    for name, content in (("a.log", data), ("a.log.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        explanation = explain([tmp_path / name])
        assert shown(explanation) == FOUND
        assert explanation.lines == SAMPLE.count(b"\n")


def test_zstd_is_read_or_refused_with_the_way_out(tmp_path: Path) -> None:
    """Where this Python cannot read zstd, the error says from which on, and what to do."""
    path = tmp_path / "a.zst"
    if sys.version_info >= (3, 14):
        import compression.zstd

        path.write_bytes(compression.zstd.compress(SAMPLE))
        assert shown(explain([path])) == FOUND
    else:
        path.write_bytes(b"\x28\xb5\x2f\xfd" + SAMPLE)
        with pytest.raises(DiagnosisError, match=r"3\.14 on.*unpack it first"):
            explain([path])


def test_a_log_that_ends_in_the_midst_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Half of a gzip file, as rotation leaves it, gives what is in that half, and says that something is missing."""
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(SAMPLE + os.urandom(4000).hex().encode())[:-1500])
    explanation = explain([path])
    assert shown(explanation) == FOUND
    assert explanation.dropped["rests of packed files that are damaged or cut"] == 1


@pytest.mark.parametrize("name", ["nothing-here.log", "."])
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    """A missing file, and a folder, are errors that say which and why."""
    with pytest.raises(DiagnosisError, match=r"cannot be (?:opened|read)"):
        explain([tmp_path / name])


def test_a_file_object_is_left_open() -> None:
    """What was opened by somebody else is closed by somebody else."""
    file = io.BytesIO(SAMPLE)
    assert shown(explain([file])) == FOUND
    assert not file.closed


def test_standard_input_is_a_source() -> None:
    """`-` reads what is piped in."""
    program = "from unbroken.diagnose.logs import explain; print(len(explain(['-']).findings))"
    ran = subprocess.run([sys.executable, "-c", program], input=SAMPLE, capture_output=True, check=True, timeout=30)
    assert ran.stdout.strip() == b"1"


def test_a_line_without_an_end_costs_no_memory() -> None:
    """Of a line of megabytes the beginning is read; the lines after it are, too, and the cut is counted."""
    explanation = explain([io.BytesIO(b"x" * 3_000_000 + b"\n" + SAMPLE)])
    assert shown(explanation) == FOUND
    assert explanation.dropped == {"ends of lines longer than 64 KiB": 1}
    assert explanation.findings[0].evidence[0].line == 8


class _Endless(io.RawIOBase):
    """So many bytes of a log, which lie nowhere."""

    name = "endless"

    def __init__(self, size: int) -> None:
        self._left = size
        self._piece = SAMPLE * 3 + b'192.0.2.1 - - "GET /items/7 HTTP/1.1" 200 15\n' * 400

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override] # narrower than a Buffer
        data = self._piece[: min(len(buffer), max(0, self._left))]
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _peak(size: int) -> int:
    tracemalloc.start()
    try:
        explain([cast("IO[bytes]", io.BufferedReader(cast("io.RawIOBase", _Endless(size))))])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_log() -> None:
    """Four times the log takes no more memory, which is some megabytes."""
    small, large = _peak(1_500_000), _peak(6_000_000)
    assert large < small + 2_000_000
    assert large < 16_000_000


def test_an_explanation_is_plain_data() -> None:
    """JSON can carry it, with times in ISO 8601."""
    explanation = explain([FOLDER / "nginx-idle.log"])
    plain = json.loads(json.dumps(explanation.as_dict()))
    (finding,) = plain["findings"]
    assert finding["cause"] == "idle-timeout"
    assert finding["certain"] is True
    assert finding["first"] == "2026-11-22T12:00:03+00:00"
    assert finding["last"] == "2026-11-22T12:04:03+00:00"
    assert finding["evidence"][0]["line"] == 1


def test_commands_to_terminals_are_not_passed_on() -> None:
    """What a client put into a log does not reach the terminal of its reader."""
    line = b"the producer of GET /\x1b]0;owned\x07\x9bx did not end when its stream had (shutdown): cleanup abandoned\n"
    (finding,) = explain([io.BytesIO(line)]).findings
    assert finding.evidence[0].text.isprintable()
    assert finding.route is not None
    assert finding.route.isprintable()
