"""What must be known of one ASGI server, a file each, and of sockets where no server helps."""

from __future__ import annotations

from typing import Any

from unbroken.servers import daphne, hypercorn, uvicorn
from unbroken.servers.connection import Connection, Scope, innermost
from unbroken.servers.tcp import TcpConnection, detect_dead_peers, forget_dead_peers

__all__ = ["Connection", "connection_of", "detect_dead_peers", "forget_dead_peers"]


def connection_of(scope: Scope, send: Any) -> Connection:
    """Return the connection underneath a response: the server's own, or else what its addresses lead to (granian)."""
    inner = innermost(send)
    return (
        uvicorn.recognise(inner)
        or hypercorn.recognise(scope, inner)
        or daphne.recognise(scope, inner)
        or TcpConnection(scope)
    )
