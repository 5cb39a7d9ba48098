"""What the tests share: an opened log, streams of their own, and conditions that come true."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from nats.aio.client import Client

from tests.logs.running import eventually, opened, refusal

__all__ = ["QUICK", "Stream", "Way", "ask", "eventually", "opened", "refusal", "way_to"]

QUICK: dict[str, object] = {"timeout": 1.0, "heartbeat_interval": 0.2, "heartbeat_timeout": 0.3}
"""Settings by which a dead connection shows at once."""


CHUNK = 16 * 1024


class Stream:
    """A stream that there is not yet."""

    def __init__(self) -> None:
        token = secrets.token_hex(6)
        self.name = f"T{token}"
        self.prefix = f"t{token}"

    def at(self, url: str, **settings: object) -> str:
        """Return its URL on a server."""
        return f"{url}?{urlencode({'stream': self.name, 'prefix': self.prefix, **settings})}"


async def ask(url: str, what: str, **body: object) -> dict[str, Any]:
    """Ask JetStream, as the operator of a server does."""
    client = Client()
    await client.connect(url)
    try:
        answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{what}", json.dumps(body).encode())).data)
    finally:
        await client.close()
    return answer


class Way:
    """A way to a server that can be held up in each direction, and whose next ends may be something else."""

    def __init__(self, port: int, pace: float) -> None:
        self._to = port
        self._pace = pace
        self.port = 0
        self.count = 0
        """Connections that were made."""
        self.others: list[bytes] = []
        """What the next peers say, that are no servers, before they hang up."""
        self.up, self.down = _open(), _open()
        """Cleared: nothing goes there, for those who came since it was made."""
        self.clients: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        if self.others:
            writer.write(self.others.pop(0))
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self.clients.add(writer)
        try:
            await asyncio.gather(_relay(reader, back, self.up, 0), _relay(there, writer, self.down, self._pace))
        except OSError:
            pass
        finally:
            self.clients.discard(writer)
            back.transport.abort()
            writer.transport.abort()

    def stall(self) -> None:
        """Take nothing any more of the clients that there are, and tell them nothing."""
        self.up.clear()
        self.down.clear()
        self.up, self.down = _open(), _open()

    def cut(self) -> None:
        """End all connections, with what is held up on them."""
        for client in self.clients:
            client.transport.abort()


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event, pace: float
) -> None:
    while data := await reader.read(CHUNK):
        await is_open.wait()
        await asyncio.sleep(pace * len(data) / CHUNK)
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def way_to(port: int, *, pace: float = 0) -> AsyncIterator[Way]:
    """Serve such a way on a port of its own; `pace` seconds for 16 KiB of what the server says."""
    way = Way(port, pace)
    tasks = set[asyncio.Task[None]]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(way.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
