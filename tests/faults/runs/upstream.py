"""A model on the network that talks as long as somebody listens, and notices when nobody does."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Upstream"]

PAUSE = 0.02
"""Seconds between two lines."""


class Upstream:
    """Answers each request with so many numbered lines as its path says. An asynchronous context manager.

    Attributes:
        asked: How many requests there were.
        closed_at: When each of those who did not listen to the end left, by this process's clock.
        finished: How many heard all.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.closed_at: list[float] = []
        self.finished = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    def url(self, lines: int) -> str:
        """Return the address of an answer that is so long."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{lines}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked += 1
        talk = asyncio.create_task(self._talk(writer, int(path[1:])))
        self._talks.add(talk)
        left = asyncio.create_task(reader.read())
        await asyncio.wait((talk, left), return_when=asyncio.FIRST_COMPLETED)
        if talk.done():
            self.finished += 1
        else:
            self.closed_at.append(time.monotonic())
            talk.cancel()
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(left, talk, writer.wait_closed(), return_exceptions=True)
        self._talks.discard(talk)

    async def _talk(self, writer: asyncio.StreamWriter, lines: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n")
        for number in range(lines):
            writer.write(f"{number}\n".encode())
            await asyncio.sleep(PAUSE)
        writer.close()
