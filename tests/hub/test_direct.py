"""Writing past ASGI, over a connection in memory; real servers are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.hub.support import Endpoint, at_once, engine_of, opened, run, stepped, turns, until
from unbroken.errors import CloseReason
from unbroken.hub import Hub
from unbroken.hub.direct import DirectSend
from unbroken.servers import DIRECT, frame_chunk
from unbroken.servers.direct import LAST_CHUNK, Watcher


class Wire:
    """A direct connection whose client is the test."""

    takes_any_amount = False

    def __init__(self, *, attaches: bool = True) -> None:
        self.attaches = attaches
        self.sent = bytearray()
        self.paused = False
        self.closed = False
        self.ended = self.detached = self.aborted = False
        self.watcher: Watcher | None = None
        self.write: Callable[[bytes], None] = self._write
        self.on_detach: Callable[[], object] = lambda: None
        self.room = 10**9
        """Bytes that it takes before it says that it is full."""

    def _write(self, chunk: bytes) -> None:
        self.sent += chunk
        if not self.paused and len(self.sent) > self.room and self.watcher is not None:
            self.paused = True
            self.watcher.on_paused()

    def resume(self) -> None:
        """Let the client read everything."""
        assert self.watcher is not None
        self.room, self.paused = 10**9, False
        self.watcher.on_resumed()

    def lose(self) -> None:
        """Let the client leave."""
        assert self.watcher is not None
        self.closed = True
        self.watcher.on_lost()

    def attach(self, watcher: Watcher) -> bool:
        self.watcher = watcher if self.attaches else None
        return self.attaches

    def detach(self) -> None:
        self.detached = True
        self.on_detach()

    def end(self, last: bytes = b"", *, timeout: float = 10.0) -> None:
        if not self.ended:
            self.sent += last + LAST_CHUNK
            self.ended = self.closed = True

    def set_dead_peer_timeout(self, seconds: float) -> bool:
        return False

    def is_alive(self) -> bool:
        return not self.closed

    def is_closed(self) -> bool:
        return self.closed

    def backlog_bytes(self) -> int:
        return 0

    def acknowledged_bytes(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = self.closed = True

    def truncate(self) -> None:
        self.aborted = True


def over(wire: Wire, app: Any) -> Any:
    """Open a stream on a server that offers the connection."""
    return opened(stepped(app), scope={"extensions": {DIRECT: wire}})


def body(message: bytes, more: bool = True) -> dict[str, Any]:
    """Return an ASGI message."""
    return {"type": "http.response.body", "body": message, "more_body": more}


def test_a_direct_send_frames_and_ends() -> None:
    """Each body is a chunk; the last one ends the response."""

    async def main() -> None:
        wire = Wire()
        send = DirectSend(wire)
        await send(body(b"abc"))
        await send(body(b""))
        await send(body(b"de", more=False))
        assert wire.sent == frame_chunk(b"abc") + frame_chunk(b"de") + LAST_CHUNK

    run(main())


def test_a_direct_send_waits_for_room() -> None:
    """While the client takes too little nothing is written; a connection that is gone is not waited for."""

    async def main() -> None:
        wire = Wire()
        send = DirectSend(wire)
        wire.paused = True
        task = asyncio.create_task(send(body(b"abc")))
        await turns()
        send.resume()
        await turns()
        assert not task.done(), "it was woken, and there is no room"
        wire.paused = False
        send.resume()
        await task
        wire.paused = wire.closed = True
        await send(body(b"x"))
        send.resume()

    run(main())


def test_a_live_stream_is_written_to_directly() -> None:
    """The start and the first id go by ASGI; from then on each body is a chunk on the wire, and the task has ended."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(), Endpoint(hub, "t")
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                assert wire.detached
                one = await hub.publish("t", "x")
                await turns()
                assert wire.sent == frame_chunk(f"id: {one}\ndata: x\n\n".encode())
                assert stream.received.count(b"\n\n") == 1
                await stream.disconnect()  # what a server tells the request that has been let go
                await stream.wait_closed()
            assert app.records == []
            two = await hub.publish("t", "y")
            await turns()
            assert wire.sent.endswith(frame_chunk(f"id: {two}\ndata: y\n\n".encode()))
            sent = len(stream.received) + 2 * len(f"id: {one}\ndata: x\n\n")
            wire.lose()
            await at_once(lambda: bool(app.records))
            assert (app.record.reason, app.record.events, app.record.sent_bytes) == (CloseReason.CLIENT_CLOSED, 2, sent)
            assert hub.stats().subscribers == 0
            assert all(topic.users == 0 for topic in engine_of(hub).topics)

    run(main())


def test_a_transport_that_is_full_makes_a_reader_of_the_log() -> None:
    """It is written to no more until there is room; then it gets everything, once."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(), Endpoint(hub, "t", send_timeout=None)
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                wire.room = 200
                frames = b""
                for number in range(100):
                    position = await hub.publish("t", f"{number}")
                    frames += f"id: {position}\ndata: {number}\n\n".encode()
                    await turns(3)
                assert hub.stats().behind == 1
                assert len(wire.sent) < 400
                wire.resume()
                await until(lambda: hub.stats().live == 1)
                assert unframed(bytes(wire.sent)) == frames
                await stream.disconnect()
            assert hub.stats().demotions == 1
            wire.lose()
            await at_once(lambda: bool(app.records))
            assert app.record.events == 100

    run(main())


def unframed(chunks: bytes) -> bytes:
    """Return what chunks hold."""
    out = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        out += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        chunks = rest[length + 2 :]
    return out


def test_a_detached_stream_ends_in_good_order() -> None:
    """Its last words and the end of the body are written by the hub; its record is made then."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(), Endpoint(hub, "t", user="ann")
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                await stream.disconnect()
                await stream.wait_closed()
            assert await hub.revoke(user="ann") == 1
            await until(lambda: bool(app.records))
            assert wire.ended
            assert wire.sent == frame_chunk(b'event: stream-end\ndata: {"reason":"revoked"}\n\n') + LAST_CHUNK
            assert app.record.reason is CloseReason.REVOKED

    run(main())


def test_closing_the_hub_waits_for_detached_streams() -> None:
    """Their ends are written, and their records made, before the log is closed."""

    async def main() -> None:
        hub = Hub("memory://")
        await hub.open()
        wire, app = Wire(), Endpoint(hub, "t")
        async with over(wire, app) as stream:
            await until(lambda: hub.stats().live == 1)
            await stream.disconnect()
            await stream.wait_closed()
        await hub.close()
        assert wire.ended
        assert app.record.reason is CloseReason.SHUTDOWN

    run(main())


def test_a_connection_that_cannot_be_attached_is_served_by_asgi() -> None:
    """HTTP/2, or a body that a middleware changes: everything works as without."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(attaches=False), Endpoint(hub, "t")
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "x")
                assert (await stream.next_event()).data == "x"
                assert not wire.sent
                assert not wire.detached

    run(main())


def test_a_stream_that_must_not_detach_keeps_its_task() -> None:
    """`detach=False`; it is written to directly all the same."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(), Endpoint(hub, "t", detach=False)
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "x")
                await turns()
                assert b"data: x" in wire.sent
                assert not wire.detached
                await stream.disconnect()
                await stream.wait_closed()
            assert app.record.reason is CloseReason.CLIENT_CLOSED

    run(main())


def test_a_filter_is_not_passed_by() -> None:
    """Who wants something else than the others writes by itself, to the server's own `send`."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(), Endpoint(hub, "t", filter=lambda event: event.data != "x")
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "x")
                await hub.publish("t", "y")
                assert (await stream.next_event()).data == "y"
                assert not wire.sent

    run(main())


def test_a_connection_that_is_lost_after_the_farewell_is_no_news() -> None:
    """Over TLS, or with bytes in the transport, it goes when the stream has long been put on record."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            wire, app = Wire(), Endpoint(hub, "t")
            async with over(wire, app) as stream:
                await until(lambda: hub.stats().live == 1)
                watcher = wire.watcher
                await stream.disconnect()
                await stream.wait_closed()
            await hub.revoke(topic="t")
            await at_once(lambda: bool(app.records))
            assert app.record.reason is CloseReason.REVOKED
            assert watcher is not None
            watcher.on_lost()
            watcher.on_paused()
            watcher.on_resumed()
            assert len(app.records) == 1

    run(main())
