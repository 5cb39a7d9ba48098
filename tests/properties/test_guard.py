"""What holds of every event stream under a guard, however its application sends it and its client takes it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.responses import StreamingResponse

from tests.properties.test_boundaries import BOM, bodies, cut, places
from tests.stream.guarding import START, Guarded, piece
from unbroken import CloseReason, EventStreamGuard
from unbroken.testing import ConnectionEnd, Faults, VirtualClock, running_proxy
from unbroken.wire import DecodedEvent, Decoder

HEARTBEAT = 0.5
# None for not even a turn of the loop. Below zero the loop itself stands still so long, as under a busy application:
# then whatever is due comes due together, also a heartbeat with the piece of the body that it must not follow.
BLOCKED = -0.6
pauses = st.lists(st.sampled_from([None, None, 0, 0.1, 0.25, 0.5, 1.0, 1.3, -0.25, BLOCKED]), min_size=1, max_size=8)
LARGE = b"x" * 70_000  # leaves in pieces


class Played:
    """One stream: an application that pauses between its pieces, a client that is slow at times."""

    def __init__(self, chunks: list[bytes], rests: list[float | None], slow: list[float | None]) -> None:
        self.chunks = chunks
        self.rests = rests
        self.slow = slow
        self.received = bytearray()
        self.writes = 0
        self.clock = VirtualClock()
        self.guarded = Guarded(self.app, heartbeat=HEARTBEAT, start_grace=0.25)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the pieces."""
        await send(START)
        for number, chunk in enumerate(self.chunks):
            await self.rest(self.rests, number)
            await send(piece(chunk))
        await send(piece(b"", more_body=False))

    async def send(self, message: Any) -> None:
        """Take a message, at once or later; two at once would be mixed."""
        assert self.writes >= 0
        number, self.writes = self.writes, -1
        await self.rest(self.slow, number)
        self.received += message.get("body", b"")
        self.writes = number + 1

    async def rest(self, pauses: list[float | None], number: int) -> None:
        """Pause, or do not even let the loop turn."""
        pause = pauses[number % len(pauses)]
        if pause is not None:
            self.clock.advance(max(0, -pause))
            await asyncio.sleep(max(0, pause))

    def play(self) -> None:
        """Run it to its end."""
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

        async def main() -> None:
            async with asyncio.timeout(1000):
                await self.guarded(scope, asyncio.Event().wait, self.send)

        self.clock.run(main())


def decoded(stream: bytes) -> tuple[list[DecodedEvent], str, int | None]:
    """Return all that a client knows after this stream."""
    decoder = Decoder()
    events = decoder.feed(stream)
    return events, decoder.last_event_id, decoder.retry


@settings(deadline=None)
@given(bodies, places, pauses, pauses, st.booleans())
@example(b"data: a\ndata: x\n\n", [0.00015], [None, BLOCKED], [None], True)
@example(BOM + b"data: a\n\n", [], [1.0], [None], False)  # a heartbeat comes before it
def test_heartbeats_never_split_an_event(
    stream: bytes, fractions: list[float], rests: list[float | None], slow: list[float | None], large: bool
) -> None:
    """However the application's sends are cut and paused, its client gets exactly its events."""
    if stream.startswith(BOM):
        stream = BOM + stream.lstrip(BOM)  # one is taken out, since something may come before it
    if large:
        stream = stream.replace(b"x", LARGE, 2)
    played = Played(cut(stream, fractions), rests, slow)
    played.play()
    record = played.guarded.record
    assert decoded(bytes(played.received)) == decoded(stream)
    assert record.reason is CloseReason.COMPLETED
    assert record.events == len(decoded(stream)[0])
    assert record.sent_bytes == len(played.received)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.25, 0.5, 1.0, 7.3]), min_size=1, max_size=8))
def test_a_silence_between_events_is_filled(rests: list[float]) -> None:
    """No client waits longer for a byte than the heartbeat, and the timers' resolution, say."""
    played = Played([b"data: x\n\n"] * len(rests), [*rests], [None])
    played.play()
    record = played.guarded.record
    assert record.longest_silence <= HEARTBEAT + 0.1
    assert played.received.count(b": keep-alive\n\n") - record.heartbeats in (0, 1)  # the one with the headers


async def silence() -> AsyncIterator[bytes]:
    """Say one thing early and one late."""
    yield b"data: first\n\n"
    await asyncio.sleep(5)
    yield b"data: last\n\n"


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Stream with the framework's own response."""
    await StreamingResponse(silence(), media_type="text/event-stream")(scope, receive, send)


@contextlib.contextmanager
def serving(app: Any) -> Iterator[int]:
    """Run a real server in a thread, and give its port."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive()


def read_through_an_impatient_hop(app: Any) -> tuple[bytes, ConnectionEnd]:
    """Read a real server's stream through a proxy that drops connections after two seconds of silence."""
    received = bytearray()
    with serving(app) as port, running_proxy("127.0.0.1", port, faults=Faults(idle_timeout=2)) as proxy:
        with (
            contextlib.suppress(httpx2.RemoteProtocolError),
            httpx2.stream("GET", f"http://127.0.0.1:{proxy.port}/", headers={"connection": "close"}) as response,
        ):
            for part in response.iter_bytes():
                received += part
        return bytes(received), proxy.ended(0)


def test_an_impatient_hop_does_not_cut_a_guarded_stream() -> None:
    """With a heartbeat shorter than its patience the connection is never silent."""
    received, end = read_through_an_impatient_hop(EventStreamGuard(silent, heartbeat=0.5))
    assert [event.data for event in decoded(received)[0]] == ["first", "last"]
    assert received.count(b": keep-alive\n\n") >= 5
    assert end is not ConnectionEnd.IDLE_TIMEOUT


def test_an_impatient_hop_does_cut_one_without() -> None:
    """So the test above tests something."""
    received, end = read_through_an_impatient_hop(silent)
    assert [event.data for event in decoded(received)[0]] == ["first"]
    assert end is ConnectionEnd.IDLE_TIMEOUT
