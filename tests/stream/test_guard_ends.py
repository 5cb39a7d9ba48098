"""The ways in which an application under a guard ends that are none of HTTP's usual ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.stream.guarding import CONTENT_TYPE, START, Guarded, piece
from unbroken import CloseReason
from unbroken.observe import open_streams
from unbroken.testing import run_with_virtual_clock

pytestmark = pytest.mark.core


class Peer:
    """A server's side of one request whose client stays."""

    def __init__(self, **headers: bytes) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(name.encode(), value) for name, value in headers.items()],
        }
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        """Hear nothing."""
        await asyncio.sleep(3600)

    async def send(self, message: Any) -> None:
        """Take what is sent."""
        self.sent.append(message)

    def body(self) -> bytes:
        """Return the body that was sent."""
        return b"".join(message.get("body", b"") for message in self.sent)


def test_an_application_that_exits_leaves_no_stream() -> None:
    """`sys.exit()` goes through, as some servers outlive it; the stream ends as one whose producer failed."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: 1\n\n"))
        raise SystemExit(3)

    async def main() -> int | str | None:
        # Stepped by hand: a task would end the loop with it.
        call = guarded(peer.scope, peer.receive, peer.send).__await__()
        try:
            while True:
                next(call)
                await asyncio.sleep(0)
        except SystemExit as exc:
            code = exc.code
        await asyncio.sleep(1)
        return code

    peer, guarded = Peer(), Guarded(application)
    assert run_with_virtual_clock(main()) == 3
    assert [record.reason for record in guarded.records] == [CloseReason.PRODUCER_ERROR]
    assert open_streams() == []


def test_a_file_that_is_an_event_stream_is_sent(tmp_path: Path) -> None:
    """A server that sends files by itself would be asked for one before the response has begun."""
    file = tmp_path / "recorded.txt"
    file.write_bytes(b"data: 1\n\ndata: 2\n\n")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [CONTENT_TYPE]})
        await send({"type": "http.response.pathsend", "path": str(file)})

    peer, guarded = Peer(), Guarded(application)
    asyncio.run(guarded(peer.scope, peer.receive, peer.send))
    assert peer.body() == file.read_bytes()
    assert [(record.reason, record.events) for record in guarded.records] == [(CloseReason.COMPLETED, 2)]


def test_the_scope_is_as_it_was() -> None:
    """What was put into it, and what was taken out, is undone when the application has ended."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send(piece(b"", more_body=False))

    peer = Peer(accept=b"text/event-stream, application/json", **{"accept-encoding": b"gzip"})
    before = dict(peer.scope)
    asyncio.run(Guarded(application)(peer.scope, peer.receive, peer.send))
    assert seen == [{b"accept": b"text/event-stream, application/json"}]
    assert peer.scope == before


def test_a_piece_after_the_end_is_an_error() -> None:
    """It says what was done wrong: the stream's end is not the reason."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: 1\n\n", more_body=False))
        await send(piece(b"data: 2\n\n"))

    peer, guarded = Peer(), Guarded(application)
    with pytest.raises(RuntimeError, match="after its end"):
        asyncio.run(guarded(peer.scope, peer.receive, peer.send))
    assert peer.body() == b"data: 1\n\n"
