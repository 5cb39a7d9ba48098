"""The harness can fail: on the framework's own StreamingResponse it shows the defects that this package is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from .cells import Cell, Outcome, is_healthy, run, stream_path, wait_for
from .clients import BEHAVIOURS, Client, leave_by_reset
from .expectations import expected
from .servers import Server

SERVER = "uvicorn-httptools-asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run the server on which most people run Starlette, with the standard library's loop."""
    running = Server.start(SERVER)
    yield running
    running.stop()


def streamed_by_starlette(server: Server, *cells: Cell) -> dict[Cell, Outcome]:
    """Play `cells` with StreamingResponse, until the server has closed their connections."""
    return run(
        server,
        cells,
        lambda *_: {"response": "starlette"},
        lambda _, seen: not seen["socket_open"] and seen["asgi"] != "running",
    )


@pytest.mark.parametrize("behaviour", ["fin", "rst", "half-close"])
@pytest.mark.parametrize("kind", ["ticking", "queue", "resources"])
def test_connection_reset_error_never_reaches_a_generator(server: Server, behaviour: str, kind: str) -> None:
    """A client's leaving is a cancellation there, which `except ConnectionResetError` does not catch."""
    observed = streamed_by_starlette(server, Cell(behaviour, kind))[Cell(behaviour, kind)].observed
    assert observed["seen"] == [["CancelledError", "await"]]
    assert observed["resets"] == 0


def test_awaits_in_finally_are_cancelled(server: Server) -> None:
    """Cleanup is begun and not finished: the resource stays open."""
    observed = streamed_by_starlette(server, Cell("rst", "resources"))[Cell("rst", "resources")].observed
    assert (observed["finally_entered"], observed["finally_done"]) == (1, 0)
    assert observed["resource"] == "open"


def test_a_synchronous_generator_waits_for_the_collector(server: Server) -> None:
    """Its `finally` runs when the collector does, and on the event loop's thread."""
    before = streamed_by_starlette(server, Cell("fin", "sync"))[Cell("fin", "sync")].observed
    server.json("/collect", "POST")
    after = server.json("/observed/fin.sync")
    assert before["generator_alive"]
    assert before["finally_entered"] == 0
    assert after["seen"] == [["GeneratorExit", "yield"]]
    assert not after["finally_at_home"]


def test_a_pipelined_request_hides_that_the_client_left(server: Server) -> None:
    """The connection is lost, the generator is never told, and goes on to yield to nobody."""
    client = Client((server.host, server.port), stream_path("ticking", "hidden", {"response": "starlette"}))
    BEHAVIOURS["pipelined"](client)
    client.close()
    assert wait_for(lambda: not server.json("/observed/hidden")["socket_open"], 5.0)
    items = server.json("/observed/hidden")["items"]
    assert wait_for(lambda: server.json("/observed/hidden")["items"] > items + 20, 5.0)
    assert server.json("/observed/hidden")["seen"] == []


def test_the_table_is_not_met(server: Server) -> None:
    """What the matrix asserts names every one of these defects."""
    observed = streamed_by_starlette(server, Cell("rst", "resources"))[Cell("rst", "resources")].observed
    found = defects(observed)
    assert {"times `finally` ran to its end", "the resource", "records", "the close reason"} <= found


def defects(observed: Mapping[str, Any]) -> set[str]:
    """Say what differs from what the table asks of a stream of this package."""
    return {difference.partition(":")[0] for difference in expected(SERVER, "rst", "resources").differences(observed)}


def test_a_busy_generator_takes_the_server_with_it() -> None:
    """Nobody else is answered, and once its client has left the log fills with warnings: so noise would be seen."""
    server = Server.start(SERVER)
    try:
        client = Client((server.host, server.port), stream_path("busy", "busy", {"response": "starlette"}))
        leave_by_reset(client)
        assert wait_for(lambda: server.stderr().count("socket.send() raised exception.") > 100, 5.0)
        assert not is_healthy(server, timeout=1.0)
    finally:
        server.stop()
