"""A thousand clients that all reset at once."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from .cells import Cell, run, stream_path, wait_for
from .clients import BEHAVIOURS, Client
from .expectations import expected
from .servers import Server

CLIENTS = 1000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process, and the servers it starts, hold a connection for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("name", ["uvicorn-httptools-uvloop", "uvicorn-h11-asyncio", "granian"])
def test_a_thousand_resets_leave_nothing(name: str) -> None:
    """Every generator is told and cleans up; no task, descriptor or generator is left, and nothing is logged."""
    server = Server.start(name)
    clients: list[Client] = []
    try:
        run(server, [Cell("fin", "queue")], lambda *_: {}, lambda _, seen: bool(seen["records"]))
        before = server.json("/census")
        paths = [stream_path("queue", f"storm.{n}", {}) for n in range(CLIENTS)]
        clients.extend(Client((server.host, server.port), path) for path in paths)
        assert wait_for(lambda: server.json("/census")["generators"] == CLIENTS, 20.0)
        for client in clients:
            BEHAVIOURS["rst"](client)
        wait_for(lambda: server.json("/census")["generators"] == 0, 20.0)
        wait_for(lambda: server.json("/census")["tasks"] == before["tasks"], 10.0)
        observed, after = server.json("/observed"), server.json("/census")
    finally:
        for client in clients:
            client.close()
        server.stop()
    wanted = expected(name, "rst", "queue")
    assert {n: wanted.differences(observed[f"storm.{n}"]) for n in range(CLIENTS)} == {n: [] for n in range(CLIENTS)}
    assert (after["tasks"], after["descriptors"]) == (before["tasks"], before["descriptors"])
    assert (after["generators"], after["busy_threads"], after["log"]) == (0, [], [])
