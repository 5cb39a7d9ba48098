"""Servers that break HTTP itself, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tests.diagnose.endpoint.reading import Found, found, look, verdict
from tests.diagnose.endpoint.serving import Answer, raw_server
from unbroken.diagnose.endpoint import Outcome

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
