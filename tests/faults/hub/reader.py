"""A client with a will of its own: it reads, freezes, leaves, and comes back to another server."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import httptools

from unbroken.wire import Decoder

from .oracle import At, Diary, Got, Opened, Told

__all__ = ["Blocks", "Habits", "Reader"]

RESET = struct.pack("ii", 1, 0)
LOOK_INTERVAL = 0.2
"""Seconds between two looks at whether it is time to do something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How often a reader does what. Times are in seconds."""

    cut: float = 0.5
    """The chance that a connection is cut."""
    stays: float = 2.0
    """About how long such a one is read."""
    freeze: float = 0.15
    """The chance that a connection is not read for a while."""
    frozen: float = 1.0
    """About how long."""
    away: float = 0.3
    """The chance that it does not come back at once, but after about as long as it is frozen."""
    buffer: int | None = None
    """Bytes that the kernel takes for it while it is frozen."""


class Reader:
    """Follows topics over many connections, and writes down what it was given."""

    def __init__(
        self,
        diary: Diary,
        habits: Habits,
        rng: random.Random,
        pick: Callable[[], tuple[str, int]],
        calm: asyncio.Event,
        options: dict[str, str],
    ) -> None:
        self.diary = diary
        self.last_id = ""
        self.refused: list[int] = []
        """Statuses other than 200."""
        self.cuts = 0
        self.stop = False
        self._habits = habits
        self._rng = rng
        self._pick = pick
        self._calm = calm
        self._query = [("topic", topic) for topic in diary.topics] + list(options.items())

    async def run(self) -> None:
        """Read until `stop` is set, or this is cancelled."""
        while not self.stop:
            try:
                await self._connect()
                if self._rng.random() < self._habits.away:
                    await self._wait(self._rng.expovariate(1 / self._habits.frozen))
            except (OSError, httptools.HttpParserError):
                await asyncio.sleep(0.05)  # that server is being killed, or was

    async def _connect(self) -> None:
        loop, sock = asyncio.get_running_loop(), socket.socket()
        with sock:
            sock.setblocking(False)
            if self._habits.buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._habits.buffer)
            await loop.sock_connect(sock, self._pick())
            await loop.sock_sendall(sock, self._request())
            await self._read(sock, Response(self))

    def _request(self) -> bytes:
        cursor = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        return f"GET /events?{urlencode(self._query)} HTTP/1.1\r\nHost: here\r\n{cursor}\r\n".encode()

    async def _read(self, sock: socket.socket, response: Response) -> None:
        loop, rng, habits = asyncio.get_running_loop(), self._rng, self._habits
        now = loop.time()
        leaves = now + rng.expovariate(1 / habits.stays) if rng.random() < habits.cut else None
        freezes = now + rng.expovariate(1 / habits.stays) if rng.random() < habits.freeze else None
        while not response.ended and not self.stop:
            calm = self._calm.is_set()
            if leaves is not None and loop.time() > leaves and not calm:
                self._leave(sock)
                return
            if freezes is not None and loop.time() > freezes and not calm:
                freezes = None
                await self._wait(rng.expovariate(1 / habits.frozen))
            await _readable(sock, LOOK_INTERVAL)
            try:
                data = sock.recv(65536)
            except BlockingIOError:
                continue
            if not data:
                return
            response.take(data)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._calm.wait()
        except TimeoutError:
            pass

    def _leave(self, sock: socket.socket) -> None:
        self.cuts += 1
        if self._rng.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def _readable(sock: socket.socket, timeout: float) -> None:
    """Wait for data, or so long. Not a `sock_recv` under a timeout: that, cancelled in time, loses what it has read."""
    loop = asyncio.get_running_loop()
    awaited: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not awaited.done():
            awaited.set_result(None)

    loop.add_reader(sock, end)
    timer = loop.call_later(timeout, end)
    try:
        await awaited
    finally:
        timer.cancel()
        loop.remove_reader(sock)


class Response:
    """One answer on a socket: chunks to blocks."""

    def __init__(self, reader: Reader) -> None:
        self.ended = False
        self._reader = reader
        self._blocks = Blocks(reader.diary, reader.last_id)
        self._header = ""
        self._parser = httptools.HttpResponseParser(self)

    def take(self, data: bytes) -> None:
        """Take what came from the socket."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one that is of interest."""
        if name.lower() == b"stream-resume":
            self._header = value.decode()

    def on_headers_complete(self) -> None:
        """Note that the stream begins, or that it does not."""
        status = self._parser.get_status_code()
        if status == 200:
            self._blocks.open(self._header)
        else:
            self._reader.refused.append(status)
            self.ended = True

    def on_body(self, body: bytes) -> None:
        """Take what it brings."""
        if not self.ended:
            self._blocks.take(body)
            self._reader.last_id = self._blocks.last_id

    def on_message_complete(self) -> None:
        """Note the end."""
        self.ended = True


class Blocks:
    """One stream: bytes to blocks to steps of the diary. What is not whole when it is cut was never there."""

    def __init__(self, diary: Diary, cursor: str) -> None:
        self.last_id = cursor
        self._cursor = cursor
        self._steps = diary.steps
        self._decoder = Decoder()
        self._rest = b""

    def open(self, header: str) -> None:
        """Note that the stream begins, and how far the cursor is honoured."""
        self._steps.append(Opened(self._cursor, header))

    def take(self, body: bytes) -> None:
        """Take the blocks that are whole, each by itself."""
        *blocks, self._rest = (self._rest + body).split(b"\n\n")
        for block in blocks:
            self._take_block(block + b"\n\n")

    def _take_block(self, block: bytes) -> None:
        before = self._decoder.last_event_id
        events = self._decoder.feed(block)
        now = self._decoder.last_event_id
        for event in events:
            if event.event == "stream-gap":
                self._steps.append(Told(event.data, time.time()))
            elif not event.event.startswith("stream-"):
                self._steps.append(Got(event.last_event_id, event.data))
        if not events and now != before:
            self._steps.append(At(now))
        if now != before:
            self.last_id = now
