"""The filter for tracebacks that a client's leaving causes in other code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.config
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import hypercorn
import hypercorn.asyncio
import pytest
import uvicorn

from tests.faults.servers import Server
from tests.observe import leaving_app
from unbroken.observe import ClientLeavingFilter

DEADLINE = 20.0
LOGGERS = ("uvicorn.error", "hypercorn.error", "asyncio")

Application = Callable[..., Any]


def until(condition: Callable[[], bool]) -> bool:
    """Wait for what other threads and processes do, and say whether it came."""
    deadline = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket for a server, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextlib.contextmanager
def on_uvicorn(app: Application = leaving_app.app, loop: Any = "asyncio") -> Iterator[int]:
    """A real server in a thread, whose loggers are left alone."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", loop=loop, http="httptools"))
    with listening() as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(DEADLINE)
    assert not thread.is_alive()


@contextlib.contextmanager
def on_hypercorn() -> Iterator[int]:
    """The same with hypercorn."""
    config, stop = hypercorn.Config(), threading.Event()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = 0.1

    async def stopped() -> None:
        while not stop.is_set():
            await asyncio.sleep(0.01)

    with listening() as listener:
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        serve = hypercorn.asyncio.serve(leaving_app.app, config, shutdown_trigger=stopped)  # type: ignore[arg-type]
        thread = threading.Thread(target=asyncio.run, args=(serve,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join(DEADLINE)
    assert not thread.is_alive()


def ask(port: int, path: str, method: str = "GET", more: str = "") -> socket.socket:
    """A client that has asked, and got the beginning of its answer."""
    client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    client.sendall(f"{method} {path} HTTP/1.1\r\nhost: test\r\n{more}\r\n".encode())
    return client


def leave(client: socket.socket) -> None:
    """Reset the connection."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def read_until(client: socket.socket, text: bytes) -> None:
    """Read on until `text` has come."""
    received = b""
    while text not in received:
        piece = client.recv(1000)
        assert piece, received
        received += piece


def asked_for(port: int) -> int:
    """Ask how many events were asked of producers."""
    with ask(port, "/asked-for", more="connection: close\r\n") as client:
        return int(b"".join(iter(lambda: client.recv(1000), b"")).splitlines()[-1])


def leave_behind(port: int, path: str = "/ahead/x") -> None:
    """Leave a stream whose producer is ahead: an event is being sent, and each buffer of FastAPI holds one."""
    before = asked_for(port)
    client = ask(port, path)
    assert until(lambda: asked_for(port) >= before + 5)
    leave(client)


def leave_upload(port: int) -> None:
    """Leave a stream that waits for the rest of the request's body."""
    client = ask(port, "/body", "POST", PARTIAL_BODY)
    read_until(client, b"now the body")
    leave(client)


PARTIAL_BODY = "content-length: 10\r\n"


@pytest.fixture
def filtered() -> Iterator[ClientLeavingFilter]:
    """The filter, on the loggers of the servers and of asyncio."""
    client_leaving = ClientLeavingFilter()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(client_leaving)
    yield client_leaving
    for name in LOGGERS:
        logging.getLogger(name).removeFilter(client_leaving)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """What the servers and asyncio logged of applications and clients."""
    for name in LOGGERS:
        caplog.set_level(logging.INFO, name)

    def records() -> list[logging.LogRecord]:
        told = [record for record in caplog.records if record.name in LOGGERS]
        return [record for record in told if record.levelno > logging.INFO or hasattr(record, "stream")]

    return records


Log = Callable[[], list[logging.LogRecord]]

LEAVING = [
    pytest.param(
        on_uvicorn, leave_behind, "GET /ahead/x: client_closed (BrokenResourceError)", id="uvicorn-fastapi.sse"
    ),
    pytest.param(
        on_hypercorn, leave_behind, "GET /ahead/x: client_closed (BrokenResourceError)", id="hypercorn-fastapi.sse"
    ),
    pytest.param(on_uvicorn, leave_upload, "POST /body: client_closed (ClientDisconnect)", id="uvicorn-body"),
]


@pytest.mark.parametrize(("server", "leaving", "ending"), LEAVING)
@pytest.mark.usefixtures("filtered")
def test_a_leaving_is_one_line(server: Any, leaving: Callable[[int], None], ending: str, log: Log) -> None:
    """It names the client, the request and the reason, at INFO and without a traceback."""
    with server() as port:
        leaving(port)
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    assert (record.levelno, record.levelname, record.exc_info) == (logging.INFO, "INFO", None)
    client, _, line = record.getMessage().partition(" ")
    assert client.startswith("127.0.0.1:")
    assert line == ending


@pytest.mark.parametrize(("server", "leaving", "ending"), LEAVING)
def test_without_the_filter_it_is_an_error(server: Any, leaving: Callable[[int], None], ending: str, log: Log) -> None:
    """That is what it is for; and what `removeFilter` leads back to."""
    with server() as port:
        leaving(port)
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    assert record.levelno == logging.ERROR
    assert record.exc_info


@pytest.mark.parametrize("server", ["uvicorn-h11-asyncio", "hypercorn", "granian"])
@pytest.mark.parametrize("module", ["leaving_app", "leaving_app_filtered"])
def test_a_server_s_own_log_is_rid_of_tracebacks(server: str, module: str) -> None:
    """Also granian's, which is written by native code; without the filter each has them.

    daphne is not here: it takes any amount, so no producer is ever ahead of its client.
    """
    process = Server.start(server, f"{__package__}.{module}:app")
    ending = "GET /ahead/x: client_closed (BrokenResourceError)" if "filtered" in module else "Traceback"

    def left_behind() -> bool:
        # granian takes so many messages that one attempt may find its producer not ahead of it.
        leave_behind(process.port)
        return ending in process.stdout() + process.stderr()

    try:
        assert until(left_behind), process.stderr()
    finally:
        process.stop()
    assert ("Traceback" in process.stdout() + process.stderr()) is (ending == "Traceback")


@pytest.mark.usefixtures("filtered")
def test_a_line_is_data_too(log: Log) -> None:
    """Its attribute `stream` can go into JSON, and has the route's template."""
    with on_uvicorn() as port:
        leave_behind(port)
        assert until(lambda: len(log()) > 0)
    stream: dict[str, Any] = json.loads(json.dumps(log()[0].__dict__["stream"]))
    assert stream.pop("client").startswith("127.0.0.1:")
    assert stream == {
        "reason": "client_closed",
        "method": "GET",
        "path": "/ahead/x",
        "route": "/ahead/{name}",
        "error": "BrokenResourceError",
    }


@pytest.mark.usefixtures("filtered")
def test_a_client_forges_no_line(log: Log) -> None:
    """A line end in its path, which servers decode, is shown escaped; as data it is exact."""
    with on_uvicorn() as port:
        leave_behind(port, "/ahead/1%0AERROR%20root:%20forged%1B[31m")
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    line = record.getMessage().partition(" ")[2]
    assert line == "GET /ahead/1\\nERROR root: forged\\x1b[31m: client_closed (BrokenResourceError)"
    assert record.__dict__["stream"]["path"] == "/ahead/1\nERROR root: forged\x1b[31m"


@pytest.mark.parametrize("path", ["/upstream", "/upstream-in-a-thread"])
@pytest.mark.parametrize("server", [on_uvicorn, on_hypercorn])
@pytest.mark.usefixtures("filtered")
def test_the_application_s_own_connections_stay_errors(server: Any, path: str, log: Log) -> None:
    """The same ConnectionResetError in the same stream, but out of the application's network code."""
    with server() as port, ask(port, path) as client:
        assert until(lambda: len(log()) > 0)
        assert client.recv(1000)
    (record,) = log()
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert isinstance(record.exc_info[1], ConnectionResetError)


@pytest.mark.usefixtures("filtered")
def test_what_starlette_makes_of_the_application_s_errors_stays_an_error(log: Log) -> None:
    """On servers of ASGI 2.4 it raises ClientDisconnect for any OSError of the stream."""

    async def newer(scope: Any, receive: Any, send: Any) -> None:
        await leaving_app.app({**scope, "asgi": {**scope["asgi"], "spec_version": "2.4"}}, receive, send)

    with on_uvicorn(newer) as port, ask(port, "/upstream"):
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert type(record.exc_info[1]).__name__ == "ClientDisconnect"


@pytest.mark.usefixtures("filtered")
def test_a_response_that_is_no_stream_stays_an_error(log: Log) -> None:
    """The same ClientDisconnect, of a client that leaves in the middle of its upload."""
    with on_uvicorn() as port:
        client = ask(port, "/upload", "POST", PARTIAL_BODY)
        client.sendall(b"abc")
        leave(client)
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert type(record.exc_info[1]).__name__ == "ClientDisconnect"


def _busy(port: int) -> None:
    leaving_app.left.clear()
    with ask(port, "/busy") as client:
        read_until(client, b"data: leave")
        leave(client)
    leaving_app.left.set()
    with ask(port, "/health") as client:
        read_until(client, b"well")  # served after the stream, which lets nobody else run


def test_asyncio_warns_of_each_write_without_the_filter(log: Log) -> None:
    """A client that left is written to again and again."""
    with on_uvicorn() as port:
        _busy(port)
        assert until(lambda: len(log()) > 10)
    assert {record.getMessage() for record in log()} == {"socket.send() raised exception."}


@pytest.mark.usefixtures("filtered")
def test_asyncio_s_warnings_are_one_line_a_request(log: Log) -> None:
    """However often it is written; another request has its own."""
    with on_uvicorn() as port:
        for _ in range(2):
            _busy(port)
    lines = [record.getMessage().partition(" ")[2] for record in log()]
    assert lines == ["GET /busy: write_failed (socket.send() raised exception)"] * 2


@pytest.mark.usefixtures("filtered")
def test_a_vanished_client_is_one_line_on_hypercorn(log: Log) -> None:
    """The failure is in the server's own reading, so there is no request to name."""
    with on_hypercorn() as port, ask(port, "/vanish"):
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    assert (record.name, record.levelno) == ("asyncio", logging.INFO)
    assert record.getMessage() == "- - -: write_failed (TimeoutError)"


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not made for it")
@pytest.mark.usefixtures("filtered")
def test_uvloop_s_runtime_error_is_one_line(log: Log) -> None:
    """A client that pipelines hides its leaving from uvicorn, which then writes to what uvloop has closed."""
    with on_uvicorn(loop="uvloop") as port:
        with ask(port, "/ticks") as client:
            assert client.recv(1000)
            client.sendall(b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n")
            assert client.recv(1000)
            leave(client)
        assert until(lambda: len(log()) > 0)
    (record,) = log()
    assert record.getMessage().endswith("GET /ticks: write_failed (RuntimeError)")


@pytest.mark.usefixtures("filtered")
def test_a_line_that_nobody_logs_is_dropped(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """Where the logger is set to warnings, a leaving is not even a line."""
    caplog.set_level(logging.WARNING, "uvicorn.error")
    with on_uvicorn() as port:
        leave_behind(port)
        with ask(port, "/upstream"):
            assert until(lambda: len(log()) > 0)
    assert [record.levelno for record in log()] == [logging.ERROR]


def _error(message: str = "Exception in ASGI application") -> logging.LogRecord:
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        return logging.LogRecord("uvicorn.error", logging.ERROR, "x", 1, message, None, sys.exc_info())


@pytest.mark.parametrize(
    "record",
    [
        _error(),
        logging.LogRecord("uvicorn.error", logging.ERROR, "x", 1, "Exception in ASGI application", None, None),
        logging.LogRecord("asyncio", logging.WARNING, "x", 1, "socket.send() raised exception.", None, None),
        logging.LogRecord("uvicorn.error", logging.INFO, "x", 1, "started", None, None),
    ],
    ids=["application's", "no exception", "not a stream", "info"],
)
def test_anything_else_passes_as_it_is(record: logging.LogRecord) -> None:
    """The same record comes out, with nothing changed."""
    before = dict(record.__dict__)
    assert ClientLeavingFilter().filter(record) is True
    assert record.__dict__ == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a filter cannot give a handler a record of its own")
def test_on_a_handler_it_leaves_the_others_alone(log: Log) -> None:
    """An error tracker beside it still gets the exception."""
    seen: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler, logger = Keeping(), logging.getLogger("uvicorn.error")
    handler.addFilter(ClientLeavingFilter())
    logger.addHandler(handler)
    try:
        with on_uvicorn() as port:
            leave_behind(port)
            assert until(lambda: len(log()) > 0)
    finally:
        logger.removeHandler(handler)
    assert [record.levelno for record in log()] == [logging.ERROR]
    assert logging.INFO in [record.levelno for record in seen]
    assert logging.ERROR not in [record.levelno for record in seen]


def test_it_can_be_configured_as_data() -> None:
    """By `dictConfig`, with another level."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"client-leaving": {"()": "unbroken.observe.ClientLeavingFilter", "level": logging.DEBUG}},
        "loggers": {"unbroken.tests": {"filters": ["client-leaving"]}},
    }
    logging.config.dictConfig(config)
    logger = logging.getLogger("unbroken.tests")
    (client_leaving,) = logger.filters
    assert isinstance(client_leaving, ClientLeavingFilter)
    logger.removeFilter(client_leaving)
