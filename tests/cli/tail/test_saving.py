"""`unbroken tail --save`: a file that plays back what was read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.tail.support import Answer, answering, run
from tests.diagnose.endpoint.serving import closed_port
from unbroken.cli.tail.recording import Recording
from unbroken.testing import RecordedStream
from unbroken.wire import Decoder

MARK = b"\xef\xbb\xbf"


def saved(path: Path, *bodies: Sequence[bytes]) -> bytes:
    """Write bodies, each in its pieces, and return what is in the file then."""
    recording = Recording(path)
    for number, pieces in enumerate(bodies):
        if number:
            recording(b"")
        for piece in pieces:
            recording(piece)
    recording.close()
    return path.read_bytes()


def data_of(body: bytes) -> list[str]:
    """Return the data of a body's events."""
    return [event.data for event in Decoder().feed(body)]


def test_one_connection(tmp_path: Path) -> None:
    """Exactly its bytes, also those behind the last event, and of a file that was there nothing."""
    path = tmp_path / "a.sse"
    path.write_bytes(b"what was there before, and is longer" * 9)
    body = MARK + b": hi\r\n\r\nid: 1\r\ndata: a\r\n\r\ndata: not who"
    with answering(Answer(body, "cut")) as asked:
        done = run(asked.url, "--no-reconnect", "--save", str(path))
    assert done.stdout == "1  message  a\n"
    assert path.read_bytes() == body


def test_played_back(tmp_path: Path) -> None:
    """Over several connections, one of which broke within an event, it gives the events that were printed."""
    path = tmp_path / "a.sse"
    first = Answer(b"retry: 1\nid: 1\ndata: a\n\nid: 2\ndata: hal", "cut")
    with answering(first, Answer(MARK + b"id: 2\ndata: b\n\n"), Answer(b"data: c\n\nid: 4", "cut")) as asked:
        done = run(asked.url, "--save", str(path))
        assert done.stdout.splitlines() == ["1  message  a", "2  message  b", "2  message  c"]
    assert path.read_bytes() == b"retry: 1\nid: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: c\n\nid: 4"
    recording = RecordedStream.load(path)
    with answering(Answer(recording.body)) as asked:
        again = run(asked.url, "--no-reconnect")
    assert (again.stdout, len(asked.heads)) == (done.stdout, 1), again.stderr


def test_a_wrong_url(tmp_path: Path) -> None:
    """A recording that was there is not lost to it."""
    path = tmp_path / "a.sse"
    path.write_bytes(b"data: kept\n\n")
    assert run(closed_port(), "--save", str(path)).exit_code == 2
    assert path.read_bytes() == b"data: kept\n\n"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """At once, and not when somebody reads it."""
    os.mkfifo(tmp_path / "fifo")
    done = run("http://127.0.0.1:1/", "--save", str(tmp_path / "fifo"))
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "is no plain file" in done.stderr


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_wherever_it_breaks(tmp_path: Path, end: bytes) -> None:
    """Broken at any byte, and in pieces of one byte, it gives the whole events of both connections."""
    first = end.join([b": hi", b"", b"id: 1", b"data: a", b"", b"", b"data: b", b"data: c", b"", b""])
    second = MARK + end.join([b"data: d", b"", b""])
    for place in range(1, len(first) + 1):
        bodies = ([bytes([byte]) for byte in body] for body in (first[:place], second))
        assert data_of(saved(tmp_path / "a", *bodies)) == [*data_of(first[:place]), "d"], place


def test_pieces_do_not_matter(tmp_path: Path) -> None:
    """The same bytes give the same file, however they come, also where CRLF is cut."""
    body = b"data: a\r\n\r\ndata: b\n\ndata: c\r\rdata: d\r\n\ndata: e\n\r\ndata: left out"
    whole = saved(tmp_path / "a", [body], [b"data: f\n\n"])
    assert whole == body.removesuffix(b"data: left out") + b"data: f\n\n"
    for size in range(1, 9):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        assert saved(tmp_path / "b", pieces, [b"data: f\n\n"]) == whole


def test_connections_without_a_byte(tmp_path: Path) -> None:
    """They leave no trace."""
    assert (
        saved(tmp_path / "a", [], [b"data: a\n\n"], [], [MARK[:2]], [], [b"data: b\n\n"]) == b"data: a\n\ndata: b\n\n"
    )


def test_a_second_mark(tmp_path: Path) -> None:
    """It is a part of the first field's name, also where nothing of the connection before is left."""
    second = MARK * 2 + b"data: a\n\n"
    assert saved(tmp_path / "a", [b"data: half"], [second]) == second
