"""A client that takes nothing must not keep its server from ending."""

from __future__ import annotations

import signal

import pytest

from .cells import TINY_RECEIVE_BUFFER, stream_path, wait_for
from .clients import Client
from .servers import Server


@pytest.mark.parametrize(
    "name",
    ["uvicorn-h11-asyncio", "uvicorn-httptools-asyncio", "uvicorn-httptools-uvloop", "uvicorn-zttp-uvloop", "granian"],
)
def test_a_server_ends_although_a_client_never_read(name: str) -> None:
    """After `send_timeout` the client's connection is gone with all that was unsent, and SIGTERM waits for nothing."""
    server = Server.start(name)
    path = stream_path("busy", "zombie", {"send_timeout": 0.5, "size": 1024})
    client = Client((server.host, server.port), path, TINY_RECEIVE_BUFFER)
    try:
        assert wait_for(lambda: bool(server.json("/observed/zombie")["records"]), 10.0)
        assert server.json("/observed/zombie")["records"][0]["reason"] == "send_timeout"
        assert server.ends_on(signal.SIGTERM, timeout=10.0)
    finally:
        client.close()
        server.stop()
