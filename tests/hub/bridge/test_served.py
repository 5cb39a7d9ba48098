"""The bridge on a real server, mounted, over real connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from tests.hub.bridge.support import TOKEN, problem, publish_app
from tests.stream.test_real_server import until
from unbroken.hub import Hub
from unbroken.wire import Decoder

MAX_BYTES = 100_000


@contextmanager
def served(app: Any, **settings: Any) -> Iterator[int]:
    """Run a server in a thread, and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, **settings)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def application(**settings: Any) -> Starlette:
    """Return an application that streams topics, and takes events below `/publish`."""
    hub = Hub("memory://")

    async def events(request: Request) -> Response:
        return hub.response(request, request.path_params["topic"], public=True)

    routes = [
        Mount("/publish", publish_app(hub, max_event_bytes=MAX_BYTES, **settings)),
        Route("/events/{topic:path}", events),
    ]
    return Starlette(routes=routes, lifespan=hub.lifespan)


def client_at(port: int) -> httpx2.Client:
    """Return a client that brings the token."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10)


@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_from_a_request_to_a_stream(http: str, root_path: str) -> None:
    """What is posted below the mount is on the stream of its topic, with the id that the answer had."""
    with served(application(), http=http, root_path=root_path) as port, client_at(port) as client:
        topic = "publish/orders:42"  # as the mount is called
        with client.stream("GET", f"/events/{topic}") as stream:
            decoder, chunks = Decoder(), stream.iter_bytes()
            decoder.feed(next(chunks))
            answer = client.post(f"/publish/{topic}?event=order", json={"state": "paid"})
            assert answer.status_code == 201
            event = next(event for chunk in chunks for event in decoder.feed(chunk))
        assert (event.event, event.data, event.last_event_id) == ("order", '{"state":"paid"}', answer.json()["id"])


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("size", [MAX_BYTES + 1, 3 * MAX_BYTES, 50 * MAX_BYTES])
def test_whoever_sends_too_much_reads_the_answer(http: str, size: int) -> None:
    """413 arrives, though the client is still sending; with a length, and without one."""

    def parts() -> Iterator[bytes]:
        for _ in range(0, size, 10_000):
            yield b"x" * 10_000

    with served(application(), http=http) as port, client_at(port) as client:
        assert problem(client.post("/publish/t", content=b"x" * size))[0] == 413
        if size <= 4 * MAX_BYTES:  # beyond that it is cut off
            assert problem(client.post("/publish/t", content=parts()))[0] == 413
        assert client.post("/publish/t", content="x").status_code == 201


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_body_that_does_not_come(http: str) -> None:
    """408 after the deadline, however steadily it trickles, and the connection is closed."""
    head = (
        f"POST /publish/t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 5000\r\n\r\n".encode()
    )
    stopped = threading.Event()

    def trickle(connection: socket.socket) -> None:
        try:
            while not stopped.wait(0.01):
                connection.sendall(b"x")
        except OSError:
            pass  # it was closed, as it should

    app = application(body_timeout=0.3)
    with served(app, http=http) as port, closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.sendall(head)
        thread = threading.Thread(target=trickle, args=(connection,))
        thread.start()
        try:
            received = b""
            while b"was not here within 0.3 s" not in received:
                chunk = connection.recv(4096)
                assert chunk, received
                received += chunk
        finally:
            stopped.set()
            thread.join()
        assert received.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close\r\n" in received.lower()


def test_a_client_that_leaves() -> None:
    """A body that was cut off publishes nothing, and leaves nothing behind."""
    head = f"POST /publish/t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n1234"
    app = application()
    with served(app) as port, client_at(port) as client:
        for _ in range(70):  # more than may be held at a time
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(head.encode())
        answer = client.post("/publish/t", content="x")
        assert answer.status_code == 201
        assert answer.json()["id"].split(".")[1] == "1"
