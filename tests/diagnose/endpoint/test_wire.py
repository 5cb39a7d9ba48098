"""Servers that break HTTP itself, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tests.diagnose.endpoint.proxies import certificate
from tests.diagnose.endpoint.reading import Found, found, look, verdict
from tests.diagnose.endpoint.serving import Answer, raw_server
from unbroken.diagnose.endpoint import Outcome
from unbroken.diagnose.endpoint.connection import Connection, connect
from unbroken.diagnose.endpoint.exchange import End, Ended, Request
from unbroken.diagnose.endpoint.http1 import Http1Exchange
from unbroken.diagnose.endpoint.http2 import Http2Exchange
from unbroken.diagnose.endpoint.target import parse_target

FIELDS = b"content-type: text/event-stream\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + FIELDS
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"
ROUGH: dict[str, Any] = {"thorough": True, "watch": 0.1, "probe_timeout": 0.2, "head_timeout": 0.3, "slow_pause": 0.1}
NO_IDS = ("ids", "info", "resume-ignored")


def says(*pieces: bytes) -> Answer:
    """Answer every request with these bytes, and close."""

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return answer


BODIES: dict[str, tuple[bytes, Found, str]] = {
    "cut within the chunks": (CHUNKED + EVENT, {NO_IDS, ("end", "fail", "producer-failed")}, "cut within the body"),
    "cut within the length": (
        OK + b"content-length: 100\r\n\r\ndata: 1\n\n",
        {NO_IDS, ("content-length", "warn", "proxy-buffering"), ("end", "fail", "producer-failed")},
        "cut within the body",
    ),
    "a wrong chunk": (
        CHUNKED + EVENT + b"zz\r\ndata: 2\n\n\r\n",
        {NO_IDS, ("end", "fail", "wrong-framing")},
        "a body that is framed wrongly",
    ),
    "ended by the close": (
        OK + b"\r\ndata: 1\n\n",
        {NO_IDS, ("end", "info", None), ("reconnection", "info", "endless-reconnect")},
        "the connection was closed",
    ),
    "complete": (
        CHUNKED + EVENT + b"0\r\n\r\n",
        {NO_IDS, ("reconnection", "info", "endless-reconnect")},
        "a complete body",
    ),
}


@pytest.mark.parametrize("name", list(BODIES))
def test_each_end_of_a_body_is_told_from_the_others(name: str) -> None:
    """What ended the stream, and whether a client can know."""
    body, expected, saw = BODIES[name]
    with raw_server(says(body)) as url:
        examination = look(url)
    assert found(examination) == expected
    assert verdict(examination, "end").saw.startswith(saw)


NO_RESPONSES = {
    "nothing": (b"", "closed without a response"),
    "no HTTP": (b"220 mail.example.org ESMTP\r\n\r\n", "what came is no HTTP"),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-", "closed without a response"),
}


@pytest.mark.parametrize("name", list(NO_RESPONSES))
def test_what_is_no_response_is_said_to_be_none(name: str) -> None:
    """A port that accepts and speaks no HTTP is no endpoint, and no other check says anything."""
    body, saw = NO_RESPONSES[name]
    with raw_server(says(body)) as url:
        examination = look(url)
    assert found(examination) == {("status", "fail", "unreachable")}
    assert verdict(examination, "status").saw.startswith(saw)


async def _reset(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + EVENT)
    await writer.drain()
    await asyncio.sleep(0.1)  # so that the event is read: a reset takes what was not
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_a_reset_is_no_end() -> None:
    """A connection that is reset in the middle is a failure of the producer, and said to be a reset."""
    with raw_server(_reset) as url:
        examination = look(url)
    assert ("end", "fail", "producer-failed") in found(examination)
    assert verdict(examination, "end").saw.startswith("reset after")


async def _stuck_after_the_first(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + EVENT)
    await reader.read()


def test_a_server_that_serves_one_at_a_time() -> None:
    """One stream that keeps the others out is seen by asking for several."""
    free = asyncio.Semaphore(1)

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with free:
            await _stuck_after_the_first(head, reader, writer)

    with raw_server(answer) as url:
        examination = look(url, **ROUGH, connections=3)
    said = verdict(examination, "several")
    assert (said.outcome, said.cause) == (Outcome.FAIL, "thread-held")
    assert verdict(examination, "reset").outcome is Outcome.PASS


def test_a_server_that_never_recovers_from_a_reset() -> None:
    """A server that a broken-off stream keeps busy fails, by the next request."""
    # Held here: a task that waits for something nobody holds is collected with it.
    stuck, never = asyncio.Event(), asyncio.Event()

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if stuck.is_set():
            await never.wait()
        try:
            await _stuck_after_the_first(head, reader, writer)
        except ConnectionError:
            stuck.set()
            raise

    with raw_server(answer) as url:
        examination = look(url, **ROUGH)
    said = verdict(examination, "reset")
    assert (said.outcome, said.cause) == (Outcome.FAIL, "loop-starved")


async def _by_http2(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not head.startswith(b"PRI"):
        await says(CHUNKED + EVENT)(head, reader, writer)
        await reader.read()
        return
    # h2 takes such a header out unless it is told not to, so that servers with h2 never send it.
    config = h2.config.H2Configuration(False, validate_outbound_headers=False, normalize_outbound_headers=False)
    http = h2.connection.H2Connection(config)
    http.initiate_connection()
    data = head
    while data:
        for event in http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                fields = [(b":status", b"200"), (b"content-type", b"text/event-stream"), (b"connection", b"keep-alive")]
                http.send_headers(event.stream_id, fields)
                http.send_data(event.stream_id, b"data: 1\n\n")
        writer.write(http.data_to_send())
        await writer.drain()
        data = await reader.read(65536)


def test_a_connection_header_on_http2_fails() -> None:
    """What makes WebKit drop the stream is seen, though HTTP/1.1 is without it."""
    with raw_server(_by_http2) as url:
        examination = look(url, **ROUGH)
    said = verdict(examination, "connection-header")
    assert (said.outcome, said.cause) == (Outcome.FAIL, "connection-header")
    assert verdict(examination, "http-versions").saw == "HTTP/1.1, HTTP/2 with prior knowledge"


async def _without_window(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not head.startswith(b"PRI"):
        await says(CHUNKED + EVENT)(head, reader, writer)
        return
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    http.initiate_connection()
    while head:
        http.receive_data(head)
        writer.write(http.data_to_send())
        head = await reader.read(65536)


def test_a_body_that_http2_does_not_take_is_not_cut(tmp_path: Path) -> None:
    """Where the server opens its window no further, the request stays unfinished, and the check says why."""
    made = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made.chain, made.key)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with raw_server(_without_window, tls) as url:
        examination = look(url, method="POST", body=b"x" * 100_000, repeat=True, verify=False, head_timeout=0.5)
    said = verdict(examination, "http-versions")
    assert said.outcome is Outcome.SKIP
    assert f"{100_000 - 65_535} bytes of the body were not taken" in said.saw


@pytest.mark.parametrize("exchange", [Http1Exchange, Http2Exchange])
def test_a_request_that_a_library_refuses_is_not_sent(exchange: type[Http1Exchange | Http2Exchange]) -> None:
    """That is told as an end, not raised, and nothing was sent before it."""

    async def main(url: str) -> Ended | None:
        target = parse_target(url)[0]
        connection = await connect(target, asyncio.get_running_loop().time() + 5, None)
        assert isinstance(connection, Connection)
        ended = await exchange(connection, target, Request("GET", (("te", " gzip\r"),))).send()
        await connection.close()
        return ended

    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = asyncio.run(main(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(1) == b""
    assert ended is not None
    assert ended.how is End.UNSENT


async def _never(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_connection_that_never_comes_about_does_not_pass() -> None:
    """When the examination's own time ends first, that is what is said, and CI does not take it for success."""
    with raw_server(_never) as url:
        examination = look(url.replace("http://", "https://"), total_timeout=0.4, head_timeout=5.0)
    assert found(examination) == {("connect", "fail", "unreachable")}
    assert "the time was up" in verdict(examination, "connect").saw


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("http", ("status", "fail", None)), ("https", ("connect", "fail", "unreachable"))],
)
def test_redirects_that_use_up_the_time_accuse_no_hop(scheme: str, expected: tuple[str, str, str | None]) -> None:
    """The last response, or connection, had only what the others had left over: that is said, and no buffer blamed."""
    ports: list[str] = []

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"GET /last" in head:
            await reader.read()
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: %s/last\r\n\r\n" % ports[0].encode())

    with raw_server(answer) as url:
        ports.append(url.replace("http://", f"{scheme}://"))
        examination = look(url, total_timeout=0.6, head_timeout=5.0)
    assert found(examination) == {expected}
    assert "the time was up" in verdict(examination, expected[0]).saw


@pytest.mark.parametrize(
    ("stalled", "check"),
    [("compression", "resume"), ("slow-reader", "slow-reader"), ("half-close", "half-close"), ("reset", "reset")],
)
def test_what_the_time_did_not_suffice_for_is_no_fault(stalled: str, check: str) -> None:
    """A probe that the examination's own time broke off, or never let begin, accuses nobody."""
    order = ["reading", "http2", "compression", *(["reconnection"] * (check == "resume"))]
    requests = iter([*order, "slow-reader", "half-close", "reset", "reset"])
    never = asyncio.Event()

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = next(requests)
        if asked == "http2":
            return
        if asked == stalled:
            writer.write(CHUNKED if check in ("slow-reader", "half-close") else b"")
            await never.wait()
        writer.write(CHUNKED + (b"f\r\nid: 1\ndata: 1\n\n\r\n" if check == "resume" else EVENT))
        while asked in ("reading", "half-close", "reset") and not reader.at_eof():
            await asyncio.sleep(0.02)
            writer.write(EVENT)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    with raw_server(answer) as url:
        examination = look(url, **{**ROUGH, "probe_timeout": 5.0, "head_timeout": 5.0, "total_timeout": 0.8})
    said = verdict(examination, check)
    assert (said.outcome, said.saw) == (Outcome.SKIP, "the time was up: 0.8 s")


def test_a_server_that_does_not_read_the_body() -> None:
    """It is not said to be unreachable, nor to have answered nothing: it did not get the request."""
    never = asyncio.Event()  # held here, as above

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()

    with raw_server(answer) as url:
        examination = look(url, method="POST", body=bytes(32_000_000), head_timeout=0.3)
    assert found(examination) == {("status", "fail", None)}
    assert verdict(examination, "status").saw == "the request was not taken within 0.3 s"
