"""uvicorn with our protocol class in a thread, an application that owns its streams, and a client by the byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import uvicorn

from unbroken.servers.direct import DIRECT, frame_chunk

__all__ = ["EVENT_STREAM", "PROTOCOL", "Application", "Client", "Server", "Stream", "is_lost", "serving", "until"]

PROTOCOL = "unbroken.servers.uvicorn:EventStreamProtocol"
DEADLINE = 10.0
EVENT_STREAM = [(b"content-type", b"text/event-stream")]

T = TypeVar("T")


class Stream:
    """The owner of one response, and what it was told of the connection."""

    def __init__(self, scope: Any, send: Any) -> None:
        self.direct = scope.get("extensions", {}).get(DIRECT)
        self.attached: bool | None = None
        self.told: list[str] = []
        self.received: list[str] = []
        self.left = threading.Event()
        self.done = asyncio.Event()
        cycle = send.__self__
        self.remains = [weakref.ref(cycle), weakref.ref(cycle.on_response.__self__)]
        scope["probe"] = probe = threading.Event()
        self.remains.append(weakref.ref(probe))

    def attach(self) -> bool:
        return self.direct is not None and bool(self.direct.attach(self))

    def on_paused(self) -> None:
        self.told.append("paused")

    def on_resumed(self) -> None:
        self.told.append("resumed")

    def on_lost(self) -> None:
        self.told.append("lost")


class Application:
    """Answers as the path says, and keeps its streams."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await getattr(self, scope["path"][1:])(scope, receive, send)

    async def open(self, scope: Any, send: Any, headers: Any = EVENT_STREAM) -> Stream:
        """Start a response through ASGI, and attach to it."""
        stream = Stream(scope, send)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"asgi ", "more_body": True})
        stream.attached = stream.attach()
        self.streams.append(stream)
        return stream

    async def detached(self, scope: Any, receive: Any, send: Any) -> None:
        (await self.open(scope, send)).direct.detach()

    async def late(self, scope: Any, receive: Any, send: Any) -> None:
        """Go on through ASGI after it has detached, as a middleware may that knows nothing of it."""
        await self.detached(scope, receive, send)
        await send({"type": "http.response.body", "body": b"late", "more_body": False})

    async def attached(self, scope: Any, receive: Any, send: Any) -> None:
        """Stay until the disconnect."""
        stream = await self.open(scope, send)
        while (message := await receive())["type"] == "http.request":
            stream.received.append(message["type"])
        stream.received.append(message["type"])
        stream.left.set()

    async def owned(self, scope: Any, receive: Any, send: Any) -> None:
        """Return when the owner says so."""
        stream = await self.open(scope, send)
        await stream.done.wait()

    async def both(self, scope: Any, receive: Any, send: Any) -> None:
        """Send through ASGI too, when the owner says so."""
        stream = await self.open(scope, send)
        await stream.done.wait()
        await send({"type": "http.response.body", "body": b"both", "more_body": True})
        stream.left.set()
        await receive()
        await receive()

    async def behind(self, scope: Any, receive: Any, send: Any) -> None:
        """Attach to a connection that has much to write."""
        stream = Stream(scope, send)
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        await send({"type": "http.response.body", "body": b"asgi " + b"x" * 16_000_000, "more_body": True})
        stream.attached = stream.attach()
        self.streams.append(stream)
        stream.direct.detach()

    async def left(self, scope: Any, receive: Any, send: Any) -> None:
        """Attach to a connection that is gone."""
        stream = Stream(scope, send)
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        await send({"type": "http.response.body", "body": b"asgi ", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        stream.attached = stream.attach()
        self.streams.append(stream)

    async def completing(self, scope: Any, receive: Any, send: Any) -> None:
        """Attach, and yet end through ASGI; or as an ordinary response, where that cannot be."""
        await self.open(scope, send)
        await send({"type": "http.response.body", "body": b"end"})

    async def waiting(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream without attaching, and end when the owner says so."""
        stream = Stream(scope, send)
        self.streams.append(stream)
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        await send({"type": "http.response.body", "body": b"waiting ", "more_body": True})
        await stream.done.wait()
        await send({"type": "http.response.body", "body": b"end"})

    async def sized(self, scope: Any, receive: Any, send: Any) -> None:
        await self.open(scope, send, [(b"content-length", b"8")])
        await send({"type": "http.response.body", "body": b"end"})

    async def early(self, scope: Any, receive: Any, send: Any) -> None:
        """Try to attach before the start and after the end."""
        stream = Stream(scope, send)
        self.streams.append(stream)
        before = stream.attach()
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        await send({"type": "http.response.body", "body": b"asgi end"})
        stream.attached = before or stream.attach()

    async def raising(self, scope: Any, receive: Any, send: Any) -> None:
        await self.open(scope, send)
        raise LookupError("the application failed")

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with the request's body."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def socket(self, scope: Any, receive: Any, send: Any) -> None:
        """Accept a WebSocket and close it."""
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})


class Server:
    """What runs, seen from the test's thread."""

    def __init__(self, server: uvicorn.Server, app: Application, port: int) -> None:
        self.uvicorn = server
        self.app = app
        self.port = port
        self.warnings: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def state(self) -> Any:
        return self.uvicorn.server_state

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function on the server's loop, and return its result."""

        async def called() -> T:
            return function(*arguments)

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(DEADLINE)

    def write(self, stream: Stream, body: bytes) -> None:
        self.call(lambda: stream.direct.write(frame_chunk(body)))

    def end(self, stream: Stream, body: bytes = b"", **options: Any) -> None:
        self.call(lambda: stream.direct.end(frame_chunk(body), **options))

    def open(self, path: str = "/detached", **options: Any) -> tuple[Client, Stream]:
        """Open a stream, and read its start."""
        count = len(self.app.streams)
        client = Client(self.port, **options)
        client.ask(path)
        client.read_until(b"asgi ")
        until(lambda: len(self.app.streams) > count)
        return client, self.app.streams[count]


class Client:
    """A connection by the byte."""

    def __init__(self, port: int, *, wrap: Callable[[socket.socket], socket.socket] | None = None, buffer: int = 0):
        self.sock = socket.socket()
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(("127.0.0.1", port))
        self.sock = wrap(self.sock) if wrap else self.sock
        self.received = b""

    def ask(self, path: str, *, method: str = "GET", version: str = "1.1") -> None:
        self.send(f"{method} {path} HTTP/{version}\r\nhost: localhost\r\n\r\n".encode())

    def send(self, request: bytes) -> None:
        self.sock.sendall(request)

    def read_until(self, mark: bytes) -> bytes:
        """Read on until the mark has come."""
        while mark not in self.received:
            more = self.sock.recv(65536)
            assert more, f"the connection ended before {mark!r}: {self.received!r}"
            self.received += more
        return self.received

    def read_to_end(self) -> bytes:
        """Read until the server closes."""
        while more := self.sock.recv(65536):
            self.received += more
        self.sock.close()
        return self.received

    def body(self) -> bytes:
        """Return the body of a response in chunks that is complete; read to the end of the connection."""
        rest, body = self.read_to_end().partition(b"\r\n\r\n")[2], b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body, end, rest = body + rest[:length], rest[length : length + 2], rest[length + 2 :]
            assert end == b"\r\n"
            if not length:
                assert rest == b"", "something follows the end of the body"
                return body
        raise AssertionError("the body has no end")

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class _Warnings(logging.Handler):
    def __init__(self, server: Server) -> None:
        super().__init__(logging.WARNING)
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        self._server.warnings.append(record.getMessage())


@contextlib.contextmanager
def serving(loop: str, *, http: str = PROTOCOL, warns: tuple[str, ...] = (), **options: Any) -> Iterator[Server]:
    """Run a server; at its end, see that it has let go of all, and warned of nothing else."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    app = Application()
    # A level of its own: uvicorn sets it for the process, and other tests have had their say.
    defaults: dict[str, Any] = {
        "date_header": False, "timeout_graceful_shutdown": 5, "log_config": None, "log_level": "info",
    }  # fmt: skip
    config = uvicorn.Config(app, http=http, loop=loop, lifespan="off", **{**defaults, **options})
    server = Server(uvicorn.Server(config), app, listener.getsockname()[1])
    handler = _Warnings(server)
    loggers = [logging.getLogger(name) for name in ("uvicorn", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    thread = threading.Thread(target=_run, args=(server, listener))
    thread.start()
    try:
        until(lambda: server.uvicorn.started)
        yield server
    finally:
        server.uvicorn.should_exit = True
        thread.join(DEADLINE * 2)
        listener.close()
        for logger in loggers:
            logger.removeHandler(handler)
    assert not thread.is_alive()
    assert (list(server.state.connections), list(server.state.tasks)) == ([], [])
    assert tuple(server.warnings) == warns


def _run(server: Server, listener: socket.socket) -> None:
    factory = server.uvicorn.config.get_loop_factory()
    assert factory is not None
    with asyncio.Runner(loop_factory=factory) as runner:
        server.loop = runner.get_loop()
        runner.run(server.uvicorn.serve(sockets=[listener]))


def is_lost(stream: Stream) -> bool:
    """Whether its owner was told of the end."""
    return "lost" in stream.told


def until(condition: Callable[[], object]) -> None:
    """Wait for what happens in the server's thread."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "a condition did not come in time"
        time.sleep(0.002)
