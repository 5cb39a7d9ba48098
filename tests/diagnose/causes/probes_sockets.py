"""What is seen with clients that do not read, and with real sockets."""

from __future__ import annotations

import asyncio
import socket
from types import ModuleType

from unbroken.diagnose import Code
from unbroken.testing import open_stream

from .serving import read_until, request, serving
from .support import Probe, in_virtual_time, load

__all__ = ["PROBES"]


async def streams_of_a_frozen_client(module: ModuleType) -> str:
    """Freeze a client for an hour."""
    async with open_stream(module.app, "/stream") as stream:
        await stream.next_event()
        stream.freeze()
        await asyncio.sleep(3600)
        return f"{len(module.open_streams)} open after an hour"


def timeout_of_dead_peers(code: Code) -> str:
    """See after how many milliseconds the kernel gives up a client that acknowledges nothing.

    That it then does, tests/faults shows with clients that vanish from a network of their own.
    """
    with serving(load(code).app) as server, request(server.port) as client:
        read_until(client, b"data: hello")
        return str(server.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))


def end_of_a_server(code: Code) -> str:
    """Stop a server while a stream is open, and wait three seconds for its end."""
    with serving(load(code).app) as server, request(server.port) as client:
        read_until(client, b"data: tick")
        server.server.should_exit = True
        server.thread.join(3.0)
        return "waits for its client" if server.thread.is_alive() else "ended"


PROBES = {
    "slow-reader": Probe(in_virtual_time(streams_of_a_frozen_client), "1 open after an hour", "0 open after an hour"),
    "half-open-peer": Probe(timeout_of_dead_peers, "0", "30000"),
    "shutdown-hangs": Probe(end_of_a_server, "waits for its client", "ended"),
}
