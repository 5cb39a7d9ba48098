"""One connection to the endpoint: opened, read with a deadline, and left in each of the ways in which clients leave."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from unbroken.diagnose.endpoint.target import Target
from unbroken.errors import ConfigurationError

__all__ = ["Connection", "Failure", "FailureKind", "client_context", "connect"]

READ_BYTES: Final = 64 * 1024
TINY_BUFFER: Final = 4096
"""Bytes of a reader that wants little: the kernel's buffer, and ours."""
CLOSE_TIMEOUT: Final = 1.0
ADDRESSES: Final = 3
"""Addresses of a host that are tried."""
ABORTING: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing then sends RST instead of FIN."""

_Address = tuple[int, Any]


class FailureKind(StrEnum):
    """At which step a connection failed."""

    NAME = "name"
    REFUSED = "refused"
    NETWORK = "network"
    TLS = "tls"
    TIMEOUT = "timeout"
    VERSION = "version"
    """The server does not agree to the version of HTTP."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection."""

    kind: FailureKind
    text: str


class Connection:
    """An open connection, plain or TLS. For the event loop it was opened in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def is_http2(self) -> bool:
        """Whether the server chose HTTP/2 in the TLS handshake."""
        tls = self._writer.get_extra_info("ssl_object")
        return tls is not None and tls.selected_alpn_protocol() == "h2"

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted."""
        return self._writer.get_extra_info("ssl_object") is not None

    async def receive(self) -> bytes:
        """Return the next bytes, `b""` at the end.

        Raises:
            OSError: the peer, or a hop, reset the connection.
        """
        return await self._reader.read(READ_BYTES)

    async def send(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            OSError: the peer, or a hop, reset the connection.
        """
        self._writer.write(data)
        await self._writer.drain()

    async def closes(self, seconds: float) -> bool:
        """Whether the peer closes within so many seconds; what it sends until then is dropped."""
        try:
            async with asyncio.timeout(seconds):
                while await self.receive():
                    pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def half_close(self) -> None:
        """Send FIN, and stay ready to read; TLS has no such thing."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Leave with RST, as a killed process with unread bytes or a lost phone's NAT does."""
        raw = self._writer.get_extra_info("socket")
        with suppress(OSError):  # it may be closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTING)
        self._writer.transport.abort()

    async def close(self) -> None:
        """Leave in good order."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            self._writer.transport.abort()


def client_context(verify: bool | str | Path, protocols: list[str]) -> ssl.SSLContext:
    """Return the TLS settings of a client that offers these protocols.

    Raises:
        ConfigurationError: `verify` is no file of certificates.
    """
    try:
        context = ssl.create_default_context(cafile=None if isinstance(verify, bool) else str(verify))
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigurationError(
            f"verify={str(verify)!r} is no file of certificates: {exc.strerror or exc}; give one in PEM, True or False"
        ) from exc
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context


async def connect(
    target: Target, deadline: float, tls: ssl.SSLContext | None, *, tiny: bool = False
) -> Connection | Failure:
    """Open a connection until `deadline` of the loop's clock, or say why there is none.

    Args:
        target: Whom to call.
        deadline: When to give up.
        tls: The settings for https; None for http.
        tiny: Whether to ask for so small buffers that a reader which stops is felt soon.
    """
    step = FailureKind.NAME
    try:
        async with asyncio.timeout_at(deadline):
            addresses = await _resolve(target.host, target.port)
            step = FailureKind.NETWORK
            raw = await _first_open(addresses, deadline, tiny)
            step = FailureKind.TLS
            return await _wrap(raw, target, tls, tiny)
    except TimeoutError:
        return Failure(FailureKind.TIMEOUT, _TIMEOUTS[step])
    except (OSError, UnicodeError) as exc:
        return _failure(exc, step)


_TIMEOUTS: Final = {
    FailureKind.NAME: "the name was not resolved in time",
    FailureKind.NETWORK: "nothing answered in time: packets are dropped on the way",
    FailureKind.TLS: "the TLS handshake did not finish in time",
}


def _failure(exc: OSError | UnicodeError, step: FailureKind) -> Failure:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return Failure(FailureKind.TLS, f"the certificate is not trusted: {exc.verify_message}")
    if isinstance(exc, ssl.SSLError):
        return Failure(FailureKind.TLS, f"the TLS handshake failed: {exc.reason or exc}")
    if step is FailureKind.TLS:
        return Failure(FailureKind.TLS, "the connection was closed within the TLS handshake")
    if isinstance(exc, ConnectionRefusedError):
        return Failure(FailureKind.REFUSED, "the connection was refused: nothing listens on that port")
    if step is FailureKind.NAME:
        return Failure(FailureKind.NAME, f"the name was not resolved: {getattr(exc, 'strerror', None) or exc}")
    return Failure(FailureKind.NETWORK, f"no connection: {getattr(exc, 'strerror', None) or type(exc).__name__}")


async def _resolve(host: str, port: int) -> list[_Address]:
    # Not the loop's executor: its threads are joined at the end, and a resolver may take a minute to give up.
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[_Address]] = loop.create_future()

    def tell(addresses: list[_Address] | OSError | UnicodeError) -> None:
        if found.done():
            return
        if isinstance(addresses, list):
            found.set_result(addresses)
        else:
            found.set_exception(addresses)

    def look_up() -> None:
        answer: list[_Address] | OSError | UnicodeError
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer = [(family, address) for family, _, _, _, address in infos]
        except (OSError, UnicodeError) as exc:
            answer = exc
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, answer)

    threading.Thread(target=look_up, name="unbroken-doctor-resolver", daemon=True).start()
    return await found


async def _first_open(addresses: list[_Address], deadline: float, tiny: bool) -> socket.socket:
    loop = asyncio.get_running_loop()
    tried = addresses[:ADDRESSES]
    for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
        # Each gets its share of what is left: one address family that is a black hole does not hide the other.
        share = (deadline - loop.time()) / left
        try:
            async with asyncio.timeout(share):
                return await _open(address, tiny)
        except OSError:  # TimeoutError is one
            if left == 1:
                raise
    raise OSError("the name has no address")


async def _open(address: _Address, tiny: bool) -> socket.socket:
    raw = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        if tiny:  # before connecting: the window is agreed on then
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BUFFER)
        await asyncio.get_running_loop().sock_connect(raw, address[1])
    except BaseException:
        raw.close()
        raise
    return raw


async def _wrap(raw: socket.socket, target: Target, tls: ssl.SSLContext | None, tiny: bool) -> Connection:
    security: dict[str, Any] = {}
    if tls is not None:
        security = {"ssl": tls, "server_hostname": target.host, "ssl_shutdown_timeout": CLOSE_TIMEOUT}
    limit = TINY_BUFFER if tiny else READ_BYTES
    try:
        reader, writer = await asyncio.open_connection(sock=raw, limit=limit, **security)
    except BaseException:
        raw.close()
        raise
    return Connection(reader, writer)
