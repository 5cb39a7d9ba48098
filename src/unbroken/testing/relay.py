"""One connection through the fault proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from unbroken.testing.faults import Fault, Faults
from unbroken.testing.scanning import EventScanner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unbroken.testing.waiting import Changes

__all__ = ["ConnectionEnd", "ProxiedConnection", "readable"]

CHUNK_BYTES: Final = 16 * 1024
"""The most that is held of each direction, besides the kernel's own buffers."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class ConnectionEnd(StrEnum):
    """How a connection through the proxy ended."""

    CLIENT_CLOSED = "client_closed"
    """Both sides closed, the client first."""
    SERVER_CLOSED = "server_closed"
    """Both sides closed, the server first."""
    CLIENT_RESET = "client_reset"
    """The client reset its side, and the proxy reset the server's."""
    SERVER_RESET = "server_reset"
    """The server reset its side, and the proxy reset the client's."""
    SERVER_UNREACHABLE = "server_unreachable"
    """The server took no connection; the client's was reset."""
    CUT_RST = "cut_rst"
    """The proxy reset both sides."""
    CUT_FIN = "cut_fin"
    """The proxy closed both sides."""
    IDLE_TIMEOUT = "idle_timeout"
    """The proxy closed both sides because neither had said anything."""
    PROXY_CLOSED = "proxy_closed"
    """The proxy ended while the connection was open."""


_WITH_RESET: Final = frozenset(
    {
        ConnectionEnd.CLIENT_RESET,
        ConnectionEnd.SERVER_RESET,
        ConnectionEnd.SERVER_UNREACHABLE,
        ConnectionEnd.CUT_RST,
    }
)
_WITH_FIN: Final = frozenset({ConnectionEnd.CUT_FIN, ConnectionEnd.IDLE_TIMEOUT})


@dataclass(frozen=True, slots=True)
class _Side:
    socket: socket.socket
    closed: ConnectionEnd
    reset: ConnectionEnd


class ProxiedConnection:
    """A connection through the proxy: what went through so far, how it ended, and what may still be done to it."""

    def __init__(self, client: socket.socket, server: socket.socket, faults: Faults, changes: Changes) -> None:
        self.faults: Final = faults
        """The plan that the connection was opened with."""
        self.bytes_to_server = 0
        """Bytes of the client that were handed to the server."""
        self.bytes_to_client = 0
        """Bytes of the server that were handed to the client."""
        self.events_to_client = 0
        """Whole events that were handed to the client."""
        self.ended: ConnectionEnd | None = None
        """How the connection ended, None while it is open."""
        self._client = _Side(client, ConnectionEnd.CLIENT_CLOSED, ConnectionEnd.CLIENT_RESET)
        self._server = _Side(server, ConnectionEnd.SERVER_CLOSED, ConnectionEnd.SERVER_RESET)
        self._changes = changes
        self._scanner = EventScanner()
        self._closed: list[_Side] = []
        self._struck = faults.fault is None
        self._frozen = False
        self._swallowing = False
        self._half_closed = False
        self._heard_at = 0.0

    def __repr__(self) -> str:
        return (
            f"<ProxiedConnection {self.ended or 'open'}: {self.bytes_to_server} bytes to the server, "
            f"{self.bytes_to_client} bytes and {self.events_to_client} events to the client>"
        )

    def strike(self, fault: Fault) -> None:
        """Do this to the connection now; nothing if it has ended."""
        match fault:
            case Fault.RST:
                self._end(ConnectionEnd.CUT_RST)
            case Fault.FIN:
                self._end(ConnectionEnd.CUT_FIN)
            case Fault.FREEZE:
                self._frozen = True
            case Fault.SWALLOW:
                self._swallowing = True
            case Fault.HALF_CLOSE:
                self._half_close()

    def thaw(self) -> None:
        """Relay on after `Fault.FREEZE`."""
        self._frozen = False
        self._changes.notify()

    async def run(self, target: tuple[str, int]) -> None:
        """Connect to the server and relay until the end; for the proxy alone to call."""
        with self._client.socket, self._server.socket:
            try:
                await self._connect(target)
                await self._relay()
                await self._part()
            finally:
                self._end(ConnectionEnd.PROXY_CLOSED)

    async def _connect(self, target: tuple[str, int]) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(self._server.socket, target)
        except OSError:
            self._end(ConnectionEnd.SERVER_UNREACHABLE)

    async def _relay(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._pump(self._client, self._server))]
            tasks.append(group.create_task(self._pump(self._server, self._client)))
            if self.faults.idle_timeout is not None:
                tasks.append(group.create_task(self._watch_silence(self.faults.idle_timeout)))
            await self._changes.until(lambda: self.ended is not None)
            for task in tasks:
                task.cancel()

    async def _part(self) -> None:
        sides = (self._client, self._server)
        if self.ended in _WITH_RESET:
            for side in sides:
                side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        elif self.ended in _WITH_FIN:
            # Closing a socket with unread bytes sends a reset; so they are read until the peer closes too.
            await asyncio.gather(*(self._say_goodbye(side.socket) for side in sides))

    async def _say_goodbye(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
            while await read(peer):
                pass

    async def _pump(self, source: _Side, sink: _Side) -> None:
        try:
            while data := await self._read_thawed(source.socket):
                self._heard_at = asyncio.get_running_loop().time()
                await self._forward(data, sink)
        except OSError:
            self._end_unless_swallowing(source.reset)
        else:
            self._note_close(source, sink)

    async def _read_thawed(self, source: socket.socket) -> bytes:
        await readable(source)
        await self._thawed()
        return await read(source)

    def _note_close(self, source: _Side, sink: _Side) -> None:
        if self._swallowing:
            return
        self._closed.append(source)
        if len(self._closed) == 2:
            self._end(self._closed[0].closed)
        else:
            with contextlib.suppress(OSError):
                sink.socket.shutdown(socket.SHUT_WR)

    async def _forward(self, data: bytes, sink: _Side) -> None:
        if sink is self._server:
            await self._send_to_server(data)
            return
        for piece in self._sliced(data):
            if self.faults.delay:
                await asyncio.sleep(self.faults.delay)
            await self._send_to_client(piece)

    def _sliced(self, data: bytes) -> Iterator[bytes]:
        size = self.faults.slice_bytes or len(data)
        return (data[start : start + size] for start in range(0, len(data), size))

    async def _send_to_server(self, data: bytes) -> None:
        if not self._half_closed and await self._send(data, self._server):
            self.bytes_to_server += len(data)
            self._changes.notify()

    async def _send_to_client(self, piece: bytes) -> None:
        ends = self._scanner.feed(piece)
        moment = self._moment_of_fault(len(piece), ends)
        if moment is None:
            await self._pass_on(piece, len(ends))
            return
        before = [end for end in ends if end <= moment]
        await self._pass_on(piece[:moment], len(before))
        self._struck = True
        assert self.faults.fault is not None
        self.strike(self.faults.fault)
        await self._pass_on(piece[moment:], len(ends) - len(before))

    def _moment_of_fault(self, length: int, ends: list[int]) -> int | None:
        """Return after how many bytes of the next `length` the planned fault strikes, None if it does not yet."""
        if self._struck:
            return None
        moments: list[int] = []
        if self.faults.after_bytes is not None and self.faults.after_bytes <= self.bytes_to_client + length:
            moments.append(self.faults.after_bytes - self.bytes_to_client)
        if self.faults.after_events is not None and self.faults.after_events <= self.events_to_client + len(ends):
            moments.append(ends[self.faults.after_events - self.events_to_client - 1])
        return min(moments, default=None)

    async def _pass_on(self, data: bytes, events: int) -> None:
        if data and await self._send(data, self._client):
            self.bytes_to_client += len(data)
            self.events_to_client += events
            self._changes.notify()

    async def _send(self, data: bytes, sink: _Side) -> bool:
        """Send, when that is to be done at all, and say whether it was."""
        await self._thawed()
        if self._swallowing or self.ended is not None:
            return False
        try:
            await asyncio.get_running_loop().sock_sendall(sink.socket, data)
        except OSError:
            self._end_unless_swallowing(sink.reset)
            return False
        return True

    def _half_close(self) -> None:
        self._half_closed = True
        with contextlib.suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_WR)

    async def _watch_silence(self, limit: float) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._heard_at + limit - loop.time()) > 0:  # noqa: ASYNC110 - one timer, not one per chunk
            await asyncio.sleep(left)
        self._end(ConnectionEnd.IDLE_TIMEOUT)

    async def _thawed(self) -> None:
        await self._changes.until(lambda: not self._frozen)

    def _end_unless_swallowing(self, how: ConnectionEnd) -> None:
        if not self._swallowing:
            self._end(how)

    def _end(self, how: ConnectionEnd) -> None:
        if self.ended is None:
            self.ended = how
            self._changes.notify()


async def read(source: socket.socket) -> bytes:
    """Return what there is to read, as soon as there is something; nothing at the end."""
    while True:
        try:
            return source.recv(CHUNK_BYTES)
        except BlockingIOError:
            await readable(source)


async def readable(source: socket.socket) -> None:
    """Wait until there is something to read or to accept, and leave it there.

    The loop's `sock_recv` and `sock_accept` take it in the same step, so that one who is frozen
    would have read already, and one who is cancelled would lose what was accepted.
    """
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(source, wake)
    try:
        await ready
    finally:
        loop.remove_reader(source)
