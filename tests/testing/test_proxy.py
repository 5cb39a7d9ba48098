from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from unbroken.errors import ConfigurationError
from unbroken.testing import (
    ConnectionEnd,
    DeadlineError,
    Fault,
    FaultProxy,
    Faults,
    run_with_virtual_clock,
    running_proxy,
)

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def event(number: int) -> bytes:
    """One event of the test's stream."""
    return b"data: %d\n\n" % number


@dataclass
class Server:
    """A real server on loopback that answers by `handler`, and notes how each connection ended for it."""

    handler: Handler
    port: int = 0
    ends: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await self.handler(reader, writer)
            await reader.read()
            self.ends.append("fin")
        except ConnectionError:
            self.ends.append("rst")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Server]:
    """Run a server for as long as the context is open."""
    server = Server(handler)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
    await until(lambda: len(asyncio.all_tasks()) == 1)


@contextlib.asynccontextmanager
async def proxied(
    handler: Handler, faults: Faults | Sequence[Faults] = (), receive_buffer_bytes: int | None = None
) -> AsyncIterator[tuple[Server, FaultProxy]]:
    """Run a server, and a proxy before it."""
    async with serving(handler) as server:
        proxy = FaultProxy("127.0.0.1", server.port, faults=faults, receive_buffer_bytes=receive_buffer_bytes)
        async with proxy:
            yield server, proxy


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what needs only the turns of the loop and the kernel."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def sending(*pieces: bytes) -> Handler:
    """Answer with these pieces, and leave the connection open."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return handler


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with one event and close."""
    writer.write(HEAD + event(0))
    await writer.drain()
    writer.write_eof()


async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send events for ever, as fast as they are taken."""
    writer.write(HEAD)
    while True:
        writer.write(b"data: " + b"x" * 8192 + b"\n\n")
        await writer.drain()


@contextlib.asynccontextmanager
async def asking(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that has sent its request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def read_to_end(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """Return everything up to the end, and which end it was."""
    received = bytearray()
    async with asyncio.timeout(10):
        try:
            while piece := await reader.read(65536):
                received += piece
        except ConnectionResetError:
            return bytes(received), "rst"
    return bytes(received), "fin"


def reset(writer: asyncio.StreamWriter) -> None:
    """Let a client leave by a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_a_stream_is_relayed_faithfully() -> None:
    """Without a plan every byte passes in both directions, a close passes as a close, and all of it is recorded."""

    async def main() -> None:
        async with proxied(closing) as (server, proxy):
            async with asking(proxy.port) as (reader, _):
                assert await read_to_end(reader) == (HEAD + event(0), "fin")
            assert await proxy.ended(0) is ConnectionEnd.SERVER_CLOSED
            connection = proxy.connections[0]
            assert connection.bytes_to_server == len(REQUEST)
            assert connection.bytes_to_client == len(HEAD + event(0))
            assert connection.events_to_client == 1
            await until(lambda: server.ends == ["fin"])

    asyncio.run(main())


def test_a_client_that_closes_is_passed_on() -> None:
    """A client's FIN reaches the server as a FIN."""

    async def main() -> None:
        async with proxied(sending(HEAD, event(0))) as (server, proxy):
            async with asking(proxy.port) as (reader, _):
                await reader.readuntil(event(0))
            assert await proxy.ended(0) is ConnectionEnd.CLIENT_CLOSED
            await until(lambda: server.ends == ["fin"])

    asyncio.run(main())


def test_a_client_that_resets_is_passed_on() -> None:
    """A client's reset reaches the server as a reset."""

    async def main() -> None:
        async with proxied(sending(HEAD, event(0))) as (server, proxy):
            async with asking(proxy.port) as (reader, writer):
                await reader.readuntil(event(0))
                reset(writer)
            assert await proxy.ended(0) is ConnectionEnd.CLIENT_RESET
            await until(lambda: server.ends == ["rst"])

    asyncio.run(main())


def test_a_server_that_resets_is_passed_on() -> None:
    """A server's reset reaches the client as a reset."""

    async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async def main() -> None:
        async with proxied(resetting) as (_, proxy):
            async with asking(proxy.port) as (reader, _):
                assert await read_to_end(reader) == (b"", "rst")
            assert await proxy.ended(0) is ConnectionEnd.SERVER_RESET

    asyncio.run(main())


def test_a_server_that_is_not_there_resets_the_client() -> None:
    """When nobody listens behind the proxy the client is reset, and the record says why."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def main() -> None:
        async with FaultProxy("127.0.0.1", port) as proxy:
            async with asking(proxy.port) as (reader, _):
                assert await read_to_end(reader) == (b"", "rst")
            assert await proxy.ended(0) is ConnectionEnd.SERVER_UNREACHABLE

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "end"), [(Fault.RST, ConnectionEnd.CUT_RST), (Fault.FIN, ConnectionEnd.CUT_FIN)], ids=["rst", "fin"]
)
@pytest.mark.parametrize("slice_bytes", [None, 1])
def test_a_connection_is_cut_after_so_many_events(fault: Fault, end: ConnectionEnd, slice_bytes: int | None) -> None:
    """The client gets exactly the planned events, then the planned end, and the server gets it too."""
    plan = Faults(fault=fault, after_events=2, slice_bytes=slice_bytes)

    async def main() -> None:
        answer = sending(HEAD + b"".join(event(number) for number in range(5)))
        async with proxied(answer, plan) as (server, proxy):
            async with asking(proxy.port) as (reader, _):
                assert await read_to_end(reader) == (HEAD + event(0) + event(1), fault.value)
            assert await proxy.ended(0) is end
            assert proxy.connections[0].events_to_client == 2
            await until(lambda: server.ends == [fault.value])

    asyncio.run(main())


def test_an_orderly_cut_is_orderly_while_more_is_on_its_way() -> None:
    """A FIN stays a FIN on both sides although the server had sent far more than was let through."""
    plan = Faults(fault=Fault.FIN, after_events=1)

    async def main() -> None:
        async with proxied(sending(HEAD + event(0), b"x" * 5_000_000), plan) as (server, proxy):
            async with asking(proxy.port) as (reader, _):
                assert await read_to_end(reader) == (HEAD + event(0), "fin")
            await until(lambda: server.ends == ["fin"])

    asyncio.run(main())


@pytest.mark.parametrize("after_bytes", [0, 1, len(HEAD) + 3])
def test_a_connection_is_cut_after_so_many_bytes(after_bytes: int) -> None:
    """The cut may lie anywhere in the answer, in the middle of an event or before its first byte."""
    plan = Faults(fault=Fault.FIN, after_bytes=after_bytes)

    async def main() -> None:
        answer = HEAD + event(0)
        async with proxied(sending(answer), plan) as (_, proxy):
            async with asking(proxy.port) as (reader, _):
                assert await read_to_end(reader) == (answer[:after_bytes], "fin")
            assert proxy.connections[0].bytes_to_client == after_bytes

    asyncio.run(main())


def test_the_earlier_moment_counts() -> None:
    """With both moments planned, the fault strikes at the one that comes first, and once."""
    plan = Faults(fault=Fault.FREEZE, after_bytes=len(HEAD) + 3, after_events=2)

    async def main() -> None:
        answer = HEAD + event(0) + event(1) + event(2)
        async with proxied(sending(answer), plan) as (_, proxy), asking(proxy.port) as (reader, _):
            assert await reader.readexactly(len(HEAD) + 3) == answer[: len(HEAD) + 3]
            assert proxy.connections[0].bytes_to_client == len(HEAD) + 3
            proxy.thaw()
            await reader.readuntil(event(2))
            assert proxy.connections[0].events_to_client == 3

    asyncio.run(main())


def test_each_connection_has_its_own_plan() -> None:
    """Of a sequence each connection gets its plan in turn, and those beyond it are relayed faithfully."""
    plans = [Faults(fault=Fault.RST, after_events=1), Faults(fault=Fault.RST, after_events=2)]

    async def main() -> None:
        seen: list[int] = []
        answer = sending(HEAD + event(0) + event(1) + event(2))
        async with proxied(answer, plans) as (_, proxy):
            for number in range(3):
                async with asking(proxy.port) as (reader, _):
                    if number < 2:
                        await read_to_end(reader)
                    else:
                        await reader.readuntil(event(2))
                seen.append(proxy.connections[number].events_to_client)
        assert seen == [1, 2, 3]

    asyncio.run(main())


def test_a_plan_can_be_replaced() -> None:
    """A new plan is for the connections that come after it."""

    async def main() -> None:
        async with proxied(closing) as (_, proxy):
            proxy.faults = Faults(fault=Fault.RST, after_events=1)
            async with asking(proxy.port) as (reader, _):
                assert (await read_to_end(reader))[1] == "rst"
            proxy.faults = Faults()
            async with asking(proxy.port) as (reader, _):
                assert (await read_to_end(reader))[1] == "fin"

    asyncio.run(main())


def test_one_connection_or_all_are_cut_now() -> None:
    """A connection can be struck alone; the proxy strikes all that are open."""

    async def main() -> None:
        async with proxied(sending(HEAD, event(0))) as (server, proxy):
            async with (
                asking(proxy.port) as (first, _),
                asking(proxy.port) as (second, _),
                asking(proxy.port) as (third, _),
            ):
                for reader in (first, second, third):
                    await reader.readuntil(event(0))
                proxy.connections[0].strike(Fault.FIN)
                assert await proxy.ended(0) is ConnectionEnd.CUT_FIN
                assert [connection.ended for connection in proxy.connections[1:]] == [None, None]
                proxy.strike(Fault.RST)
                ends = [await read_to_end(reader) for reader in (first, second, third)]
                assert sorted(end for _, end in ends) == ["fin", "rst", "rst"]
            await until(lambda: sorted(server.ends) == ["fin", "rst", "rst"])

    asyncio.run(main())


def test_a_sender_is_blocked_behind_a_frozen_hop() -> None:
    """Frozen, the hop reads nothing, and a sender gets rid of no more than the kernel holds; thawed, it goes on."""
    sent = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer.write(HEAD + event(0))
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()
            await asyncio.sleep(0)
            sent += 4096

    async def sent_until_blocked() -> int:
        before = -1
        while before != sent:
            before = sent
            assert sent < 2_000_000
            await asyncio.sleep(0.05)
        return sent

    async def main() -> None:
        frozen = Faults(fault=Fault.FREEZE, after_events=1)
        async with (
            proxied(counting, frozen, receive_buffer_bytes=4096) as (_, proxy),
            asking(proxy.port) as (reader, _),
        ):
            reading = asyncio.create_task(read_to_end(reader))
            await proxy.until(lambda: bool(proxy.connections) and proxy.connections[0].events_to_client == 1)
            blocked_at = await sent_until_blocked()
            proxy.thaw()
            await until(lambda: sent > blocked_at + 2_000_000)
            reading.cancel()

    asyncio.run(main())


def test_a_frozen_hop_notices_no_close() -> None:
    """While frozen, a client's leaving does not reach the server; after thawing it does."""

    async def main() -> None:
        async with proxied(sending(HEAD, event(0))) as (server, proxy):
            async with asking(proxy.port) as (reader, _):
                await reader.readuntil(event(0))
                proxy.strike(Fault.FREEZE)
            with pytest.raises(DeadlineError, match="the end of connection 0"):
                await proxy.ended(0, timeout=0.1)
            assert server.ends == []
            proxy.thaw()
            assert await proxy.ended(0) is ConnectionEnd.CLIENT_CLOSED
            await until(lambda: server.ends == ["fin"])

    asyncio.run(main())


def test_a_hop_that_swallows_leaves_both_sides_open() -> None:
    """The server goes on sending into nothing, the client hears nothing, and neither is told of a close."""
    gone = asyncio.Event()

    async def going_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event(0))
        await gone.wait()
        for number in range(2000):
            writer.write(event(number) + b"x" * 8192)
            await writer.drain()
        all_sent.set()

    all_sent = asyncio.Event()

    async def main() -> None:
        plan = Faults(fault=Fault.SWALLOW, after_events=1)
        async with proxied(going_on, plan) as (server, proxy):
            async with asking(proxy.port) as (reader, _):
                await reader.readuntil(event(0))
                gone.set()
                async with asyncio.timeout(10):
                    await all_sent.wait()
                assert proxy.connections[0].bytes_to_client == len(HEAD + event(0))
            assert (server.ends, proxy.connections[0].ended) == ([], None)
        assert proxy.connections[0].ended is ConnectionEnd.PROXY_CLOSED

    asyncio.run(main())


def test_a_reset_is_swallowed_too() -> None:
    """A hop that swallows does not tell the server of a client's reset either."""

    async def main() -> None:
        async with proxied(sending(HEAD, event(0))) as (server, proxy):
            async with asking(proxy.port) as (reader, writer):
                await reader.readuntil(event(0))
                proxy.strike(Fault.SWALLOW)
                reset(writer)
            with pytest.raises(DeadlineError):
                await proxy.ended(0, timeout=0.1)
            assert server.ends == []

    asyncio.run(main())


def test_a_half_close_leaves_the_answer_open() -> None:
    """The server sees the end of the request's direction, and may still answer."""
    half_closed = asyncio.Event()

    async def answering_at_eof(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event(0))
        assert await reader.read() == b""
        half_closed.set()
        writer.write(event(1))
        await writer.drain()
        writer.write_eof()

    async def main() -> None:
        async with proxied(answering_at_eof) as (_, proxy):
            async with asking(proxy.port) as (reader, writer):
                await reader.readuntil(event(0))
                proxy.strike(Fault.HALF_CLOSE)
                assert (await read_to_end(reader)) == (event(1), "fin")
                writer.write(b"discarded")
            assert half_closed.is_set()
            assert await proxy.ended(0) is ConnectionEnd.SERVER_CLOSED
            assert proxy.connections[0].bytes_to_server == len(REQUEST)

    asyncio.run(main())


def test_an_idle_connection_is_closed() -> None:
    """Silence in both directions for `idle_timeout` closes both sides; every byte begins it anew."""

    async def main() -> None:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for number in range(3):
                await asyncio.sleep(40)
                writer.write(HEAD + event(0) if number == 0 else event(number))

        async with serving(slow) as server:
            async with FaultProxy("127.0.0.1", server.port, faults=Faults(idle_timeout=60)) as proxy:
                async with asking(proxy.port) as (reader, _):
                    while piece := await reader.read(65536):
                        received.append(piece)
                assert await proxy.ended(0) is ConnectionEnd.IDLE_TIMEOUT
                assert proxy.connections[0].events_to_client == 3
                assert asyncio.get_running_loop().time() == pytest.approx(3 * 40 + 60, abs=1)
            await until(lambda: server.ends == ["fin"])

    received: list[bytes] = []
    run_with_virtual_clock(main())
    assert b"".join(received) == HEAD + event(0) + event(1) + event(2)


def test_pieces_are_delayed_one_after_the_other() -> None:
    """Each slice of the answer comes apart from the next, `delay` later."""
    plan = Faults(delay=2, slice_bytes=10)
    answer = HEAD + event(0)

    async def main() -> None:
        loop, pieces = asyncio.get_running_loop(), list[bytes]()
        async with proxied(sending(answer), plan) as (_, proxy), asking(proxy.port) as (reader, _):
            while sum(map(len, pieces)) < len(answer):
                pieces.append(await reader.read(65536))
        assert pieces == [answer[start : start + 10] for start in range(0, len(answer), 10)]
        assert loop.time() == pytest.approx(2 * len(pieces))

    run_with_virtual_clock(main())


def test_leaving_closes_everything() -> None:
    """Connections in whatever state are closed at the end, no task and no socket is left."""

    async def main() -> None:
        async with serving(flooding) as server, contextlib.AsyncExitStack() as clients:
            async with FaultProxy("127.0.0.1", server.port) as proxy:
                for fault in (None, Fault.FREEZE, Fault.SWALLOW, Fault.HALF_CLOSE):
                    number = len(proxy.connections)
                    reader, _ = await clients.enter_async_context(asking(proxy.port))
                    await reader.readuntil(HEAD)
                    if fault:
                        (await proxy.connection(number)).strike(fault)
                port = proxy.port
            assert {connection.ended for connection in proxy.connections} == {ConnectionEnd.PROXY_CLOSED}
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(RuntimeError, match="only inside"):
                print(proxy.port)

    asyncio.run(main())
    gc.collect()  # a socket that was left open warns here, and a warning is an error


@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_came_last_is_closed_too(turns: int) -> None:
    """A client that is accepted while the proxy is being left, in whichever turn of the loop, is not forgotten."""

    async def main() -> None:
        async with proxied(closing) as (_, proxy):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            client = socket.create_connection(("127.0.0.1", proxy.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        client.close()

    asyncio.run(main())
    gc.collect()  # a socket that was left open warns here, and a warning is an error


def test_a_wait_for_what_does_not_come_says_what_was_seen() -> None:
    """The deadline's error names what was awaited and lists the connections."""

    async def main() -> None:
        async with proxied(closing) as (_, proxy):
            with pytest.raises(DeadlineError, match=r"connection 0 did not come within 0.01 s.*\[\]"):
                await proxy.connection(0, timeout=0.01)
            async with asking(proxy.port) as (reader, _):
                await read_to_end(reader)
                with pytest.raises(DeadlineError, match=r"two events.*61 bytes and 1 events to the client"):
                    await proxy.until(lambda: proxy.connections[0].events_to_client == 2, "two events", timeout=0.01)

    asyncio.run(main())


def test_what_breaks_in_the_proxy_itself_is_not_hidden() -> None:
    """A plan of a wrong type, given while it runs, is raised when the proxy is left."""

    async def main() -> None:
        async with proxied(closing) as (_, proxy):
            proxy.faults = 3  # type: ignore[assignment]
            with socket.create_connection(("127.0.0.1", proxy.port)):
                assert proxy._serving
                await asyncio.wait([proxy._serving], timeout=10)

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(main())
    assert raised.group_contains(TypeError)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"fault": Fault.RST}, "never strikes"),
        ({"after_events": 1}, "never strikes"),
        ({"fault": Fault.RST, "after_events": 0}, "after_events=0 is out of range: give 1 or more"),
        ({"fault": Fault.RST, "after_bytes": -1}, "after_bytes=-1"),
        ({"slice_bytes": 0}, "slice_bytes=0"),
        ({"delay": -0.1}, "delay=-0.1"),
        ({"idle_timeout": -1}, "idle_timeout=-1"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(arguments: dict[str, object], complaint: str) -> None:
    """A plan says at once what is wrong with it, instead of never striking."""
    with pytest.raises(ConfigurationError, match=complaint):
        Faults(**arguments)  # type: ignore[arg-type]


@pytest.fixture
def uvicorn_port() -> Iterator[int]:
    """A real server in a thread, with an endless stream at `/`."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"data: {number}\n\n"
            number += 1
            await asyncio.sleep(0.001)

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/", endpoint)])
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


def test_a_synchronous_test_runs_the_proxy_in_a_thread(uvicorn_port: int) -> None:
    """Between a synchronous client and a real server: planned, struck, frozen, thawed and awaited from the test."""
    with running_proxy("127.0.0.1", uvicorn_port, faults=[Faults(fault=Fault.RST, after_events=3)]) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/"
        received = bytearray()
        with pytest.raises(httpx2.ReadError), httpx2.stream("GET", url) as response:
            for piece in response.iter_bytes():
                received += piece
        assert received == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert proxy.ended(0) is ConnectionEnd.CUT_RST

        with httpx2.stream("GET", url) as response:
            pieces = response.iter_bytes()
            assert next(pieces)
            proxy.strike(Fault.FREEZE)
            passed = proxy.connections[1].events_to_client
            proxy.thaw()
            proxy.until(lambda: proxy.connections[1].events_to_client > passed, "another event")
            proxy.strike(Fault.FIN, 1)
            assert proxy.ended(1) is ConnectionEnd.CUT_FIN

        proxy.plan(Faults(fault=Fault.FIN, after_bytes=0))
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(url)
        assert [connection.bytes_to_client for connection in proxy.connections[2:]] == [0]
