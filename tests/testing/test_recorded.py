from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from unbroken.errors import ConfigurationError
from unbroken.testing import RecordedStream, StreamEnd, open_stream
from unbroken.testing.recorded import Cuts

pytestmark = pytest.mark.core

BODY = b": hello\n\nid: 1\ndata: a\n\ndata: b\r\n\r\nevent: none\n\ndata: c\n\ndata: cut off"


@pytest.mark.parametrize(
    ("cuts", "pieces"),
    [
        ("whole", [BODY]),
        (
            "event",
            [b": hello\n\nid: 1\ndata: a\n\n", b"data: b\r\n\r\n", b"event: none\n\ndata: c\n\n", b"data: cut off"],
        ),
        ("byte", [bytes([byte]) for byte in BODY]),
        ([1, 20], [BODY[0:1], BODY[1:21], BODY[21:22], BODY[22:42], BODY[42:43], BODY[43:63], BODY[63:64], BODY[64:]]),
    ],
    ids=["whole", "event", "byte", "sizes"],
)
def test_a_recording_is_cut_as_asked(cuts: Cuts, pieces: list[bytes]) -> None:
    """Whole, behind each event, behind each byte, or into pieces of given sizes; nothing is lost, nothing is empty."""
    assert list(RecordedStream(BODY).cut(cuts).pieces()) == [piece for piece in pieces if piece]


@pytest.mark.parametrize("cuts", ["line", [], [3, 0], 5, ["a"], [1.5], [True], None], ids=str)
def test_other_cuts_are_refused(cuts: Any) -> None:
    """What cannot cut a body is said when it is given."""
    with pytest.raises(ConfigurationError, match="cuts="):
        RecordedStream(BODY).cut(cuts)


def test_a_text_is_refused() -> None:
    """A recording is bytes."""
    with pytest.raises(ConfigurationError, match="body=str: give bytes"):
        RecordedStream("data: a\n\n")  # type: ignore[arg-type]


@pytest.mark.parametrize("cuts", ["whole", "byte", [5]], ids=["whole", "byte", "sizes"])
def test_an_empty_recording_has_no_pieces(cuts: Cuts) -> None:
    """A stream that ended before its first byte can be played back, too."""
    assert list(RecordedStream(b"", cuts).pieces()) == []


def test_a_file_holds_the_bytes_of_the_body(tmp_path: Path) -> None:
    """A recording is what was on the wire, without any format of its own."""
    path = tmp_path / "answer.sse"
    path.write_bytes(BODY)

    assert RecordedStream.load(path).body == RecordedStream.load(str(path)).body == BODY


def test_a_recording_is_truncated_behind_an_event_or_a_byte() -> None:
    """The rest is not sent, and the recording says that it is incomplete."""
    recording = RecordedStream(BODY)

    assert recording.truncated(after_events=2).body.endswith(b"data: b\r\n\r\n")
    assert recording.truncated(after_events=0).body == b""
    assert recording.truncated(after_bytes=5).body == b": hel"
    assert recording.truncated(after_bytes=len(BODY)).incomplete
    assert not recording.incomplete


@pytest.mark.parametrize(
    "places",
    [{}, {"after_events": 1, "after_bytes": 1}, {"after_events": 4}, {"after_bytes": 1000}, {"after_bytes": -1}],
    ids=["none", "both", "events", "bytes", "negative"],
)
def test_a_truncation_beyond_the_recording_is_refused(places: dict[str, int]) -> None:
    """A test that breaks the stream off where it does not go would prove nothing."""
    with pytest.raises(ConfigurationError, match="give"):
        RecordedStream(BODY).truncated(**places)


@pytest.mark.parametrize("cuts", ["whole", "event", "byte", [7, 3]], ids=str)
def test_a_recording_is_an_application(cuts: Cuts) -> None:
    """It answers a request with the same events, however they are cut, and completes its response."""

    async def main() -> None:
        async with open_stream(RecordedStream(BODY, cuts), buffer_messages=0) as stream:
            assert [event.data for event in await stream.until_end()] == ["a", "b", "c"]
            assert stream.headers == {"content-type": "text/event-stream"}
            assert (stream.ended, stream.received) == (StreamEnd.COMPLETE, BODY)

    asyncio.run(main())


def test_a_truncated_recording_breaks_its_response_off() -> None:
    """Its client sees no end of the body, as after a reset."""

    async def main() -> None:
        async with open_stream(RecordedStream(BODY).truncated(after_events=1)) as stream:
            assert [event.data for event in await stream.until_end()] == ["a"]
            assert stream.ended is StreamEnd.TRUNCATED

    asyncio.run(main())


def test_only_requests_are_answered() -> None:
    """A server that offers a lifespan learns that there is none, as ASGI has it."""

    async def main() -> None:
        async with open_stream(RecordedStream(BODY), scope={"type": "lifespan"}):
            pytest.fail("it was answered")

    with pytest.raises(ConfigurationError, match="lifespan"):
        asyncio.run(main())
