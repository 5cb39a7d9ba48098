"""What must be known of one ASGI server, a file each, and of sockets and signals where no server helps."""

from __future__ import annotations

from typing import Any

from unbroken.servers import daphne, hypercorn, uvicorn
from unbroken.servers.connection import Connection, Scope, is_plain, layers, own_send
from unbroken.servers.direct import DIRECT, DirectConnection, frame_chunk
from unbroken.servers.signals import hook_signals, unhook_signals
from unbroken.servers.tcp import TcpConnection, detect_dead_peers, forget_dead_peers, is_open, listeners

__all__ = [
    "DIRECT",
    "Connection",
    "DirectConnection",
    "connection_of",
    "cuts_at_signal",
    "detect_dead_peers",
    "forget_dead_peers",
    "frame_chunk",
    "hook_signals",
    "is_open",
    "is_plain",
    "listeners",
    "own_send",
    "unhook_signals",
]


def connection_of(scope: Scope, send: Any) -> Connection:
    """Return the connection underneath a response: the server's own, or else what its addresses lead to (granian)."""
    for layer in layers(send):
        found = uvicorn.recognise(layer) or hypercorn.recognise(scope, layer) or daphne.recognise(scope, layer)
        if found is not None:
            return found
    return TcpConnection(scope)


def cuts_at_signal(send: Any) -> bool:
    """Whether the server behind `send` ends its connections as soon as its signal handler is called."""
    return any(map(daphne.cuts_at_signal, layers(send)))
