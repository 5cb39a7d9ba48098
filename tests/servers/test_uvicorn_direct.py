"""Responses that are written directly and outlive their ASGI call: real sockets, a real uvicorn, both event loops."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnose.endpoint.proxies import certificate
from tests.servers.direct_server import Client, Stream, is_lost, serving, until
from unbroken.servers.direct import frame_chunk

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("httptools")
pytest.importorskip("uvloop")


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """The event loop's name."""
    return str(request.param)


def user_timeout(stream: Stream) -> int:
    """Return TCP_USER_TIMEOUT of its connection, in milliseconds."""
    descriptor = stream.direct._transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_a_chunk_is_framed_once_for_all() -> None:
    """The length in hexadecimal; an empty body is nothing, since an empty chunk would be the end."""
    assert frame_chunk(b"0123456789abcdef") == b"10\r\n0123456789abcdef\r\n"
    assert frame_chunk(b"") == b""


def test_what_is_written_directly_follows_what_went_through_asgi(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """In order, to a complete body; the request is logged once, and counted once."""
    with caplog.at_level(logging.INFO, "uvicorn.access"), serving(loop) as server:
        client, stream = server.open()
        assert stream.attached
        for n in range(100):
            server.write(stream, b"%d " % n)
        server.end(stream, b"bye")
        assert client.body() == b"asgi " + b"".join(b"%d " % n for n in range(100)) + b"bye"
        until(lambda: is_lost(stream))
        assert server.state.total_requests == 1
    assert [record.name for record in caplog.records].count("uvicorn.access") == 1
    assert stream.told == ["lost"]


def test_a_detached_response_frees_its_request(loop: str) -> None:
    """Task, cycle, protocol and scope are gone without the garbage collector's help, and the bytes go on flowing."""
    gc.disable()
    try:
        with serving(loop) as server:
            client, stream = server.open()
            until(lambda: not server.state.tasks)
            until(lambda: not any(remain() for remain in stream.remains))
            assert len(server.state.connections) == 1
            server.write(stream, b"still here")
            client.read_until(b"still here")
            server.end(stream)
            client.read_to_end()
    finally:
        gc.enable()


def test_an_ordinary_connection_leaves_no_cycle_behind(loop: str) -> None:
    """What offers the extension is freed with the connection it was not used on."""
    gc.disable()
    try:
        with serving(loop) as server:
            client = Client(server.port)
            client.ask("/early")
            client.read_until(b"\r\n0\r\n\r\n")
            client.close()
            stream = server.app.streams[0]
            until(lambda: not server.state.connections)
            until(lambda: not any(remain() for remain in stream.remains))
    finally:
        gc.enable()


@pytest.mark.parametrize("leave", [Client.close, Client.reset, Client.half_close], ids=["FIN", "RST", "half-close"])
@pytest.mark.parametrize("path", ["/detached", "/attached"])
def test_a_client_that_leaves_is_told_of_once(loop: str, path: str, leave: Callable[[Client], None]) -> None:
    """However it leaves; and an ASGI call that still waits hears of it as ever."""
    with serving(loop) as server:
        client, stream = server.open(path)
        assert server.call(stream.direct.is_alive)
        leave(client)
        until(lambda: is_lost(stream))
        until(lambda: not server.state.connections and not server.state.tasks)
        server.write(stream, b"to nobody")
        assert not server.call(stream.direct.is_alive)
        assert server.call(stream.direct.is_closed)
        assert server.call(stream.direct.acknowledged_bytes) == server.call(stream.direct.backlog_bytes) == 0
        for end in (stream.direct.detach, stream.direct.end, stream.direct.truncate, stream.direct.abort):
            server.call(end)
        client.close()
    assert stream.told == ["lost"]
    assert stream.received == (["http.request", "http.disconnect"] if path == "/attached" else [])


def test_a_client_that_stops_reading_is_told_of(loop: str) -> None:
    """The owner hears of it before much has piled up, and again when there is room; nothing is lost or mixed up."""
    with serving(loop) as server:
        client, stream = server.open(buffer=8192)
        written = 0
        while not server.call(lambda: stream.direct.paused):
            server.write(stream, b"x" * 16384)
            written += 16384
            assert written < 64 * 1024 * 1024
        until(lambda: stream.told == ["paused"])
        assert server.call(stream.direct.backlog_bytes) < 65536 + 2 * 16384
        before = server.call(stream.direct.acknowledged_bytes)
        while stream.told == ["paused"]:
            client.received += client.sock.recv(65536)
        assert stream.told == ["paused", "resumed"]
        until(lambda: server.call(stream.direct.acknowledged_bytes) > before)
        server.end(stream)
        assert len(client.body()) == written + len(b"asgi ")
    assert stream.told == ["paused", "resumed", "lost"]


def test_a_client_that_takes_nothing_does_not_hold_the_end_up(loop: str) -> None:
    """Its connection is aborted when the time that `end` gives is over."""
    with serving(loop) as server:
        client, stream = server.open(buffer=8192)
        while not server.call(lambda: stream.direct.paused):
            server.write(stream, b"x" * 65536)
        server.end(stream, timeout=0.05)
        until(lambda: is_lost(stream))
        assert not server.state.connections
        client.close()


def test_a_client_that_closes_its_side_while_it_is_behind_has_left(loop: str) -> None:
    """What it has not taken is not waited for."""
    with serving(loop) as server:
        client, stream = server.open(buffer=8192)
        while not server.call(lambda: stream.direct.paused):
            server.write(stream, b"x" * 65536)
        client.half_close()
        until(lambda: is_lost(stream))
        client.close()


def test_requests_behind_the_stream_get_no_answer(loop: str) -> None:
    """What a client sends while it should read is thrown away: nothing stands in the stream that is not its own."""
    with serving(loop) as server:
        client, stream = server.open()
        client.ask("/echo")
        client.send(b"\r\n\0 garbage")
        server.write(stream, b"one ")
        client.read_until(b"one ")
        server.end(stream, b"two")
        assert client.body() == b"asgi one two"
        assert server.state.total_requests == 1


def test_a_client_that_sends_too_much_is_cut_off(loop: str) -> None:
    """64 KiB are borne, no more."""
    with serving(loop) as server:
        client, stream = server.open()
        client.send(b"x" * 65536)
        server.write(stream, b"fine")
        client.read_until(b"fine")
        assert not is_lost(stream)
        client.send(b"x")
        until(lambda: is_lost(stream))
        client.close()


def test_a_response_that_ends_through_asgi_closes_its_connection(loop: str) -> None:
    """The application may attach and complete the body itself. What its client sent meanwhile is lost, so it closes."""
    with serving(loop, timeout_keep_alive=60) as server:
        client = Client(server.port)
        client.ask("/completing")
        assert client.body() == b"asgi end"
        until(lambda: not server.state.connections)
        assert server.state.total_requests == 1
    assert server.app.streams[0].told == ["lost"]


def test_what_is_sent_through_asgi_after_detaching_is_thrown_away(loop: str) -> None:
    """A middleware that ends the body after the application has returned does no harm."""
    with serving(loop) as server:
        client, stream = server.open("/late")
        until(lambda: not server.state.tasks)
        server.end(stream, b"end")
        assert client.body() == b"asgi end"


def test_ending_frees_an_asgi_call_that_waits(loop: str) -> None:
    """The owner ends a response that was never detached: its application hears a disconnect and returns."""
    with serving(loop) as server:
        client, stream = server.open("/attached")
        server.end(stream, b"end")
        assert client.body() == b"asgi end"
        assert stream.left.wait(10)
        until(lambda: not server.state.tasks)


@pytest.mark.parametrize("how", ["end", "abort", "truncate"])
def test_an_asgi_call_may_return_as_soon_as_its_stream_is_over(loop: str, how: str) -> None:
    """It has completed nothing itself, and uvicorn does not hold that against it."""
    with serving(loop) as server:
        client, stream = server.open("/owned")

        def finish() -> None:
            stream.done.set()
            getattr(stream.direct, how)()

        server.call(finish)
        until(lambda: not server.state.tasks)
        client.close()


def test_asgi_s_own_writes_wait_for_the_client_as_ever(loop: str) -> None:
    """Where both write, a client that is behind holds up what goes through ASGI."""
    with serving(loop) as server:
        client, stream = server.open("/both", buffer=8192)
        while not server.call(lambda: stream.direct.paused):
            server.write(stream, b"x" * 65536)
        server.call(stream.done.set)
        for _ in range(3):
            server.call(lambda: None)  # turns in which the application could have gone on
        assert not stream.left.is_set()
        client.read_until(b"both")
        client.close()
    assert stream.left.is_set()


def test_it_can_be_attached_to_a_client_that_is_behind(loop: str) -> None:
    """Which is said at once, or as soon as it shows."""
    with serving(loop) as server:
        client, stream = server.open("/behind", buffer=8192)
        assert stream.attached
        until(lambda: server.call(lambda: stream.direct.paused))
        while stream.told[-1:] != ["resumed"]:
            client.received += client.sock.recv(65536)
        assert not server.call(lambda: stream.direct.paused)
        client.close()


@pytest.mark.parametrize("break_off", ["abort", "truncate"])
@pytest.mark.parametrize("path", ["/detached", "/attached"])
def test_a_stream_can_be_broken_off(loop: str, path: str, break_off: str) -> None:
    """Visibly: the body has no end."""
    with serving(loop) as server:
        client, stream = server.open(path)
        server.call(getattr(stream.direct, break_off))
        try:
            assert not client.read_to_end().endswith(b"0\r\n\r\n")
        except ConnectionResetError:
            client.close()
        until(lambda: is_lost(stream))
        server.end(stream, b"too late")
    assert stream.told == ["lost"]


def test_an_application_that_fails_cuts_its_stream(loop: str) -> None:
    """As it does without the extension: uvicorn logs it and closes."""
    with serving(loop, warns=("Exception in ASGI application\n",)) as server:
        client, stream = server.open("/raising")
        assert not client.read_to_end().endswith(b"0\r\n\r\n")
        until(lambda: is_lost(stream))


def test_only_one_can_attach(loop: str) -> None:
    """A second call is refused, and one after the end."""
    with serving(loop) as server:
        client, stream = server.open("/attached")
        assert not server.call(stream.direct.attach, stream)
        server.end(stream)
        client.read_to_end()
        until(lambda: is_lost(stream))
        assert not server.call(stream.direct.attach, stream)


def test_who_comes_after_the_client_has_left_cannot_attach(loop: str) -> None:
    """And is told nothing."""
    with serving(loop) as server:
        client = Client(server.port)
        client.ask("/left")
        client.read_until(b"asgi ")
        client.close()
        until(lambda: server.app.streams)
    assert (server.app.streams[0].attached, server.app.streams[0].told) == (False, [])


def test_the_next_response_is_not_the_last_one_s(loop: str) -> None:
    """An object that was kept from one request does not lead into the answer to another."""
    with serving(loop) as server:
        client = Client(server.port)
        client.ask("/early")
        client.read_until(b"\r\n0\r\n\r\n")
        client.ask("/waiting")
        client.read_until(b"waiting ")
        assert not server.call(server.app.streams[0].attach)
        server.call(server.app.streams[1].done.set)
        client.read_until(b"end\r\n0\r\n\r\n")
        client.close()


def test_a_detached_stream_counts_as_a_connection(loop: str) -> None:
    """`limit_concurrency` sees it, and the place is free when it has ended."""
    with serving(loop, limit_concurrency=2, warns=("Exceeded concurrency limit.",)) as server:
        client, stream = server.open()
        refused = Client(server.port)
        refused.ask("/echo")
        assert refused.read_to_end().startswith(b"HTTP/1.1 503 ")
        server.end(stream)
        client.read_to_end()
        until(lambda: not server.state.connections)
        again = Client(server.port)
        again.ask("/echo")
        again.read_until(b"HTTP/1.1 200 ")
        again.close()


def test_a_dead_client_is_watched_for_on_its_own_socket(loop: str) -> None:
    """The times are set on the one connection, and on no other."""
    with serving(loop) as server:
        (one, first), (two, second) = server.open(), server.open()
        assert server.call(first.direct.set_dead_peer_timeout, 60.0)
        assert [user_timeout(stream) for stream in (first, second)] == [60_000, 0]
        server.end(first)
        server.end(second)
        one.read_to_end()
        two.read_to_end()
        until(lambda: is_lost(first))
        assert not server.call(first.direct.set_dead_peer_timeout, 60.0)


def test_who_gets_the_descriptor_of_another_gets_nothing_of_his(loop: str) -> None:
    """An owner that goes on writing to a client that is gone writes to nobody, though the number is used again."""
    with serving(loop) as server:
        client, gone = server.open()
        descriptor = server.call(lambda: gone.direct._transport.get_extra_info("socket").fileno())
        bound = gone.direct.write  # kept, against all advice
        client.reset()
        until(lambda: is_lost(gone))
        other, stream = server.open()
        assert server.call(lambda: stream.direct._transport.get_extra_info("socket").fileno()) == descriptor
        with contextlib.suppress(RuntimeError):  # what uvloop's transports raise when they are closed
            server.call(bound, frame_chunk(b"not yours"))
        server.write(gone, b"not yours")
        server.end(gone, b"not yours")
        assert server.call(gone.direct.acknowledged_bytes) == 0
        server.end(stream, b"yours")
        assert other.body() == b"asgi yours"


def test_it_works_over_tls(loop: str, tmp_path: Path) -> None:
    """Encrypted by the transport, in order and to the end; a client that closes has left."""
    paths = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(paths.chain))
    with serving(loop, ssl_certfile=str(paths.chain), ssl_keyfile=str(paths.key)) as server:

        def wrap(sock: socket.socket) -> socket.socket:
            return trusting.wrap_socket(sock, server_hostname="127.0.0.1")

        client, stream = server.open(wrap=wrap)
        assert stream.attached
        server.write(stream, b"one ")
        client.read_until(b"one ")
        server.end(stream, b"two")
        assert client.body() == b"asgi one two"
        leaving, left = server.open(wrap=wrap)
        leaving.close()
        until(lambda: is_lost(left))
    assert (stream.told, left.told) == (["lost"], ["lost"])
