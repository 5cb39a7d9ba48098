"""What the tests share: an opened log, and conditions that come true."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from tests.logs.running import eventually, opened, refusal

__all__ = ["QUICK", "Relay", "eventually", "opened", "refusal", "relayed", "with_settings"]

QUICK: dict[str, object] = {"timeout": 1.0, "heartbeat_interval": 0.2, "heartbeat_timeout": 0.3}
"""Settings by which a dead connection shows at once."""


def with_settings(url: str, prefix: str, **settings: object) -> str:
    """Return a URL with settings in its query."""
    return f"{url}?{urlencode({'prefix': prefix, **settings})}"


class Relay:
    """A way to the engine that can be held, cut and closed at an answer."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut_at: tuple[bytes, Callable[[], bool]] | None = None

    async def open(self, port: int = 0) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    def hold(self) -> None:
        """Take nothing more for the engine, until it is let go."""
        self._flowing.clear()

    def let_go(self) -> None:
        """Take again what is for the engine."""
        self._flowing.set()

    def cut_at(self, mark: bytes, passes: Callable[[], bool]) -> None:
        """End a connection, once, when an answer has this; `passes` says whether that answer is passed on."""
        self._cut_at = mark, passes

    def cut(self) -> None:
        """End all connections, and take no more."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_engine, to_engine = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, to_engine}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._ask(reader, to_engine), self._answer(from_engine, writer))
        for one in (writer, to_engine):
            one.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._cut_at is not None and self._cut_at[0] in data:
                (_, passes), self._cut_at = self._cut_at, None
                if passes():
                    writer.write(data)
                break
            writer.write(data)
        writer.close()


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[Relay]:
    """Open a relay, and end it with all that goes through it."""
    relay = Relay(port)
    await relay.open()
    try:
        yield relay
    finally:
        relay.let_go()
        relay.cut()
