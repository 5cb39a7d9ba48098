"""The least that a Python server can do: no parser of HTTP, one ready chunk written to every transport."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import cast

import uvloop

__all__ = ["serve"]

_START = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Channel:
    def __init__(self) -> None:
        self.transports: set[asyncio.Transport] = set()
        self.newest = b""

    def publish(self, line: bytes) -> None:
        frame = b"data: %s\n\n" % line
        self.newest = b"%x\r\n%s\r\n" % (len(frame), frame)
        for transport in self.transports:
            transport.write(self.newest)


class Protocol(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._channel.transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            self._received = b""
            self._respond(head, body)

    def _respond(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            for line in body.split(b"\n"):
                self._channel.publish(line)
            self._answer(b"204 No Content", b"")
        elif head.startswith(b"GET /count"):
            self._answer(b"200 OK", json.dumps({"subscribers": len(self._channel.transports)}).encode())
        else:
            self.transport.write(_START + (self._channel.newest if head.startswith(b"GET /first") else b""))
            self._channel.transports.add(self.transport)

    def _answer(self, status: bytes, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\nContent-Length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def _run(listener: socket.socket) -> None:
    channel = Channel()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(channel), sock=listener, backlog=4096)
    await server.serve_forever()


def serve(_: float, listener: socket.socket) -> None:
    uvloop.run(_run(listener))
