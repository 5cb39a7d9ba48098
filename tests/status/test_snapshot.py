"""The state of all streams at one moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.status.support import FIRST_ID, Open, entered, many
from unbroken import CloseReason, EventSourceResponse
from unbroken.observe import OpenStream
from unbroken.status.history import History
from unbroken.status.snapshot import COLUMNS, STREAMS_SHOWN, Snapshot, Snapshots
from unbroken.testing import open_stream
from unbroken.wire import Decoder


def taken() -> Snapshot:
    """Take a snapshot."""
    return Snapshots(History()).now()


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Return what programs read."""
    read: dict[str, Any] = json.loads(snapshot.as_json())
    return read


def told(snapshot: Snapshot) -> dict[str, Any]:
    """Return what the page reads of the frame."""
    (event,) = Decoder().feed(snapshot.frame)
    assert event.event == "status"
    read: dict[str, Any] = json.loads(event.data)
    return read


@pytest.fixture
def one() -> Iterator[OpenStream]:
    """Open one stream."""
    stream = Open(reason=CloseReason.MAX_AGE, guarded=True)
    with entered(stream):
        yield stream


@pytest.mark.usefixtures("one")
def test_a_stream_is_shown_with_its_figures() -> None:
    """All that is known of it, without its key: that may be a token."""
    streams = [stream for stream in document(taken())["streams"] if stream["id"] >= FIRST_ID]
    assert streams == [
        {
            "id": FIRST_ID,
            "method": "GET",
            "path": "/rooms/7/events",
            "route": "/rooms/{room}/events",
            "client": "192.0.2.1:5000",
            "guarded": True,
            "age": 90.0,
            "silence": 4.5,
            "events": 7,
            "heartbeats": 3,
            "bytes": 1000,
            "reason": "max_age",
        }
    ]


@pytest.mark.usefixtures("one")
def test_the_frame_tells_the_same_as_the_document() -> None:
    """In rows, whose columns it names."""
    snapshot = taken()
    frame, facts = told(snapshot), document(snapshot)
    columns = frame.pop("columns")
    assert columns == list(COLUMNS)
    assert [dict(zip(columns, row, strict=True)) for row in frame.pop("streams")] == facts.pop("streams")
    assert frame == facts


def test_of_very_many_streams_the_oldest_are_shown() -> None:
    """With the number of all of them, in a frame that stays small."""
    streams = many(5000)
    with entered(*streams):
        snapshot = taken()
    assert snapshot.facts["open"] >= 5000
    assert len(snapshot.facts["streams"]) == STREAMS_SHOWN
    shown = [row[0] for row in snapshot.facts["streams"] if row[0] >= FIRST_ID]
    assert shown == [stream.id for stream in streams[: len(shown)]]
    assert len(snapshot.frame) < 40_000


def test_a_client_cannot_make_the_frame_large() -> None:
    """Of a method, a path and an address there is a beginning: a client may write into them what it likes."""
    long = "/" + "x" * 60_000
    with entered(*(Open(id=FIRST_ID + at, method=long, path=long, client=long) for at in range(STREAMS_SHOWN))):
        snapshot = taken()
    assert len(snapshot.frame) < 150_000
    assert all(
        snapshot.facts["streams"][-1][COLUMNS.index(name)].endswith("x…") for name in ("method", "path", "client")
    )


@pytest.mark.parametrize(
    "path", ["/\ud800", "/\r\n\r\nevent: stream-end\r\ndata: {}\n\n", "/\x00\u202e\u2028</script>", "/ü"]
)
def test_any_path_arrives_as_it_is(path: str) -> None:
    """Half of a surrogate pair, line ends and controls neither break the frame nor the document."""
    with entered(Open(path=path)):
        snapshot = taken()
    assert told(snapshot)["streams"][-1][2] == path
    assert document(snapshot)["streams"][-1]["path"] == path


def test_all_who_look_share_a_snapshot() -> None:
    """A second one who looks at once costs nothing more."""
    snapshots = Snapshots(History())
    assert snapshots.now() is snapshots.now()


async def _endless() -> AsyncIterator[str]:
    yield "x"
    await asyncio.Event().wait()


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await EventSourceResponse(_endless(), dead_peer_timeout=None)(scope, receive, send)


def test_a_thousand_real_streams() -> None:
    """Each of them is counted while it is open, and the first of them are shown with what they have sent."""

    async def main() -> Snapshot:
        async with AsyncExitStack() as stack:
            for number in range(1000):
                stream = await stack.enter_async_context(open_stream(_app, f"/{number}"))
                await stream.next_event()
            return taken()

    snapshot = asyncio.run(main())
    mine = [stream for stream in document(snapshot)["streams"] if stream["path"].strip("/").isdigit()]
    assert snapshot.facts["open"] >= 1000
    assert [stream["path"] for stream in mine] == [f"/{number}" for number in range(len(mine))]
    assert {(stream["events"], stream["bytes"]) for stream in mine} == {(1, len(b"data: x\n\n"))}
    assert document(taken())["open"] < 1000
