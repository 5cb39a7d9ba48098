"""A server on loopback that answers as a model's API does: with a recording, cut as it is told, or with a refusal."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from unbroken.testing import RecordedStream

__all__ = ["Asked", "HangUp", "ModelServer", "Refusal", "Unended"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The parameters of its target."""
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def json(self) -> Any:
        """What its body says."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no stream."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unended:
    """A recording behind whose last byte nothing follows, until the client leaves."""

    recording: RecordedStream


class HangUp:
    """No answer: the connection is closed."""


Answer = RecordedStream | Unended | Refusal | HangUp


class ModelServer:
    """Gives its answers one after the other, the last one again and again; or what a function makes of the request."""

    def __init__(self, *answers: Answer, answer: Callable[[Asked], Answer] | None = None) -> None:
        self._answers = deque(answers)
        self._answer = answer or (lambda _: self._next())
        self.requests: list[Asked] = []
        self.left = asyncio.Event()
        """A client has left an answer without an end."""
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ModelServer]:
        """Serve until the context is left."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    def _next(self) -> Answer:
        return self._answers[0] if len(self._answers) == 1 else self._answers.popleft()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            asked = await _request(reader)
            self.requests.append(asked)
            match self._answer(asked):
                case RecordedStream() as recording:
                    await _stream(recording, writer)
                    writer.write(b"" if recording.incomplete else b"0\r\n\r\n")
                case Unended(recording):
                    await _stream(recording, writer)
                    await reader.read()
                    self.left.set()
                case Refusal(status, body, headers):
                    writer.write(_head(status, {**headers, "content-length": str(len(body))}) + body)
            await writer.drain()
        writer.close()


async def _request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.splitlines()[:-1]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    method, target, _ = first.split()
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _stream(recording: RecordedStream, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(200, {**recording.headers, "transfer-encoding": "chunked"}))
    for piece in recording.pieces():
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", "connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
