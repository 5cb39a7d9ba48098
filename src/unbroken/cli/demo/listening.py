"""The demo's listening socket."""

from __future__ import annotations

import errno
import socket

__all__ = ["listen"]

PORTS_TRIED = 20

SEND_BUFFER_BYTES = 16 * 1024
"""Accepted sockets inherit it. The kernel would take in megabytes before a write to a frozen reader waits."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `port`, or on the first free one of the 19 after it.

    Raises:
        OSError: no such address, no right to the port, or all of them are taken.
    """
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            listener = socket.create_server((host, candidate))
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            return listener
    raise OSError(errno.EADDRINUSE, f"it and the {PORTS_TRIED - 1} ports after it are taken")
