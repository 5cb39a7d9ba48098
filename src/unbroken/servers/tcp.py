"""Sockets of this process, found by their addresses: what works under every server on Linux.

Dead peers. A client that vanishes without FIN or RST leaves a connection that
looks well. TCP keep-alive finds that out while nothing is in flight, and is
suspended as soon as something is; TCP_USER_TIMEOUT finds it out while data is
unacknowledged, and only then. Each alone fails; both are set. Accepted sockets
inherit them from the listening one, so that one look through the process's
descriptors is enough, whatever server opened them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from unbroken.servers.connection import Scope

__all__ = [
    "TcpConnection",
    "detect_dead_peer",
    "detect_dead_peers",
    "forget_dead_peers",
    "is_established",
    "is_open",
    "listeners",
]

DESCRIPTORS = "/proc/self/fd"
INTERNET = (socket.AF_INET, socket.AF_INET6)
ESTABLISHED = 1
"""tcpi_state, the first byte of struct tcp_info (linux/tcp.h). Half-closed by the peer is CLOSE_WAIT, 8."""

BYTES_ACKED, BYTES_ACKED_AT = struct.Struct("Q"), 120
"""tcpi_bytes_acked in struct tcp_info, from Linux 4.1 on."""

RESCAN_INTERVAL = 1.0
"""Seconds between two looks through all descriptors for one that was not found: with many streams each costs
milliseconds, and connections that cannot be found at all (a rewritten client address) would ask for ever."""

SECOND_LOOK = 1.0
"""Seconds after which the connections of a port are looked through once more."""

Address = tuple[str, int]

CLOSED = (-1, "closed")
"""What `listeners` finds where nobody listens any more. For `is_open`."""


def detect_dead_peers(scope: Scope, timeout: float) -> bool:
    """Have the kernel give up clients of this server that do not answer for `timeout` seconds.

    Sets TCP keep-alive and TCP_USER_TIMEOUT on the listening socket behind
    `scope` and on what it has accepted. That is process-wide for this port; the
    smallest `timeout` asked for holds. Done once for each port, and undone by
    `forget_dead_peers()`. To be called on the server's event loop. Sockets for
    which the operator has set TCP_USER_TIMEOUT keep theirs. A client that
    acknowledges but takes nothing for so long (a window of zero) is given up as well.

    Returns:
        Whether it could be done: only on Linux, and for a server on TCP.
    """
    address = _address(scope.get("server"))
    if sys.platform != "linux" or address is None:
        return False
    port = address[1]
    with _lock:
        known = _guarded.get((os.getpid(), port))
        if known is None or timeout < known:
            _guarded[os.getpid(), port] = timeout
            _set_on_port(port, timeout, known)
            # Connections that wait to be accepted now inherit nothing, and have no descriptor yet. After a restart
            # that is every client.
            asyncio.get_running_loop().call_later(SECOND_LOOK, _look_again, port, timeout, known)
    return True


def detect_dead_peer(descriptor: int, timeout: float) -> bool:
    """Have the kernel give up one client of this server that does not answer for `timeout` seconds.

    Returns:
        Whether it could be done: only on Linux, for a TCP connection that is open.
    """
    if sys.platform != "linux" or descriptor < 0:
        return False
    with suppress(OSError), _borrowed(descriptor) as sock:
        _set(sock, timeout)
        return True
    return False


def forget_dead_peers() -> None:
    """Undo `detect_dead_peers` for connections to come; those there are keep what they have."""
    with _lock:
        for (pid, port), timeout in list(_guarded.items()):
            if pid == os.getpid():
                _reset_port(port, timeout)
            del _guarded[pid, port]


def listeners(server: Any) -> list[tuple[int, str]]:
    """Return the listening sockets of this process at the address `server` of a scope, for `is_open`.

    The host is no matter: a socket listens on one name, and a scope has another. Without an
    address all Unix sockets: so hypercorn calls a server on one. Where connections were accepted
    and nobody listens any more, one that is closed stands for those that did.
    """
    listening, accepted = [], False
    for descriptor, sock in _sockets():
        if _is_at(sock, server):
            accepted = accepted or _is_connected(sock)
            if _listens(sock):
                listening.append((descriptor, _identity(descriptor)))
    return listening or ([CLOSED] if accepted and server else [])


def is_open(found: tuple[int, str]) -> bool:
    """Whether a socket that was found is still open; a microsecond."""
    return _identity(found[0]) == found[1]


def _listens(sock: socket.socket) -> bool:
    with suppress(OSError):
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def _is_connected(sock: socket.socket) -> bool:
    with suppress(OSError):
        sock.getpeername()
        return True
    return False


def _is_at(sock: socket.socket, server: Any) -> bool:
    name = sock.getsockname()
    if sock.family in INTERNET:
        return bool(server) and server[1] is not None and name[1] == int(server[1])
    return not server or (server[1] is None and name == server[0])


class TcpConnection:
    """An HTTP/1.1 connection of which nothing is known but its two addresses."""

    takes_any_amount = False

    def __init__(self, scope: Scope) -> None:
        client, server = _address(scope.get("client")), _address(scope.get("server"))
        one_stream = str(scope.get("http_version", "1.1")).startswith("1")
        self._addresses = (server, client) if client and server and one_stream else None
        self._found: tuple[int, str] | None = None

    def is_alive(self) -> bool:
        """Whether the socket is there and established; True if it never could be found."""
        return (descriptor := self._descriptor()) is None or is_established(descriptor)

    def is_closed(self) -> bool:
        """Return False: what the server knows cannot be seen from here."""
        return False

    def backlog_bytes(self) -> int:
        """Return 0: what a server keeps in its own memory cannot be seen from here."""
        return 0

    def acknowledged_bytes(self) -> int:
        """Return what the peer's kernel has acknowledged since the connection began."""
        descriptor = self._descriptor(at_any_cost=True)
        return 0 if descriptor is None else acknowledged_bytes(descriptor)

    def abort(self) -> None:
        """Shut the socket both ways, and have what is unsent dropped when the server closes it."""
        self._shut(socket.SHUT_RDWR, linger=struct.pack("ii", 1, 0))

    def truncate(self) -> None:
        """Do nothing: an exception breaks the body on HTTP/1.1 servers that are not known to differ."""

    def _shut(self, how: int, linger: bytes) -> None:
        descriptor = self._descriptor(at_any_cost=True)
        if descriptor is not None and descriptor != GONE:
            with suppress(OSError), _borrowed(descriptor) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                sock.shutdown(how)

    def _descriptor(self, *, at_any_cost: bool = False) -> int | None:
        """Return its descriptor, `GONE` if it has been closed, or None if it is not known."""
        if self._addresses is None or sys.platform != "linux":
            return None
        if self._found is None:
            self._found = _table.find(self._addresses, at_any_cost=at_any_cost)
        if self._found is None:
            return None
        descriptor, identity = self._found
        return descriptor if _identity(descriptor) == identity else GONE


def _address(given: Any) -> Address | None:
    """Return host and port, which granian gives as text; None for a Unix socket, or where there is none."""
    return (str(given[0]), int(given[1])) if given and given[1] is not None else None


GONE = -1


def is_established(descriptor: int) -> bool:
    """Whether both sides of the TCP connection behind `descriptor` are open; True for what is no TCP socket."""
    if descriptor == GONE:
        return False
    info = _tcp_info(descriptor)
    return info is None or info[0] == ESTABLISHED


def acknowledged_bytes(descriptor: int) -> int:
    """Return the bytes that the peer has acknowledged on the TCP connection behind `descriptor`; 0 if not known."""
    info = _tcp_info(descriptor)
    if info is None or len(info) < BYTES_ACKED.size + BYTES_ACKED_AT:
        return 0
    return int(BYTES_ACKED.unpack_from(info, BYTES_ACKED_AT)[0])


def _tcp_info(descriptor: int) -> bytes | None:
    """Return struct tcp_info; None on other systems, whose own has other numbers, and for what is no TCP socket."""
    if sys.platform != "linux":
        return None
    try:
        with _borrowed(descriptor) as sock:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:
        return None


class _Table:
    """Which descriptor has which two addresses, remembered between looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # loops in several threads: each would see the other's borrowed descriptors
        self._known: dict[tuple[Address, Address], tuple[int, str]] = {}
        self._looked = float("-inf")

    def find(self, addresses: tuple[Address, Address], *, at_any_cost: bool) -> tuple[int, str] | None:
        with self._lock:
            found = self._known.get(addresses)
            if found is not None and _identity(found[0]) == found[1]:
                return found
            if time.monotonic() < self._looked + RESCAN_INTERVAL and not at_any_cost:
                return None
            self._look()
            return self._known.get(addresses)

    def _look(self) -> None:
        self._looked = time.monotonic()
        self._known.clear()
        for descriptor, sock in _tcp_sockets():
            with suppress(OSError):
                key = (sock.getsockname()[:2], sock.getpeername()[:2])
                # The lowest: a duplicate that somebody has borrowed for a moment came later.
                self._known.setdefault(key, (descriptor, _identity(descriptor)))


_table = _Table()
_guarded: dict[tuple[int, int], float] = {}
_lock = threading.Lock()


def _identity(descriptor: int) -> str:
    """Return what tells a socket from the next one that gets the same descriptor."""
    try:
        return os.readlink(f"{DESCRIPTORS}/{descriptor}")  # noqa: PTH115 - thousands of them at a time
    except OSError:
        return ""


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Look at a socket that belongs to somebody else, through a duplicate: closing that leaves the socket open."""
    with closing(socket.socket(fileno=os.dup(descriptor))) as sock:
        yield sock


def _sockets() -> Iterator[tuple[int, socket.socket]]:
    if sys.platform != "linux":
        return
    try:
        descriptors = sorted(map(int, os.listdir(DESCRIPTORS)))  # noqa: PTH208 - as above
    except OSError:  # no /proc, or no descriptor left to look at it with
        return
    for descriptor in descriptors:
        if _identity(descriptor).startswith("socket:"):
            with suppress(OSError), _borrowed(descriptor) as sock:
                if sock.type == socket.SOCK_STREAM:
                    yield descriptor, sock


def _tcp_sockets() -> Iterator[tuple[int, socket.socket]]:
    return ((descriptor, sock) for descriptor, sock in _sockets() if sock.family in INTERNET)


def _look_again(port: int, timeout: float, ours: float | None) -> None:
    with _lock:
        if _guarded.get((os.getpid(), port)) == timeout:
            _set_on_port(port, timeout, ours)


def _set_on_port(port: int, timeout: float, ours: float | None) -> None:
    for _, sock in _tcp_sockets():
        with suppress(OSError):
            set_by_operator = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            if sock.getsockname()[1] == port and set_by_operator in (0, _milliseconds(ours)):
                _set(sock, timeout)


def _set(sock: socket.socket, timeout: float) -> None:
    # Half the time in silence, then three questions in the other half: a busy network loses a few packets.
    idle, interval = max(1, round(timeout / 2)), max(1, round(timeout / 6))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _milliseconds(timeout))


def _reset_port(port: int, timeout: float) -> None:
    for _, sock in _tcp_sockets():
        with suppress(OSError):
            ours = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == _milliseconds(timeout)
            if _listens(sock) and ours and sock.getsockname()[1] == port:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)


def _milliseconds(timeout: float | None) -> int:
    return 0 if timeout is None else max(1, round(timeout * 1000))
