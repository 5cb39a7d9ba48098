"""Real servers for the doctor: one of ASGI, and one that sends exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
import uvicorn

__all__ = ["Counter", "closed_port", "free_port", "missing", "raw_server", "serving", "wait_until_open"]

START_TIMEOUT = 15.0


@dataclass
class Counter:
    """An application around another one, that counts what it is asked."""

    app: Any
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    fields: list[list[tuple[str, str]]] = field(default_factory=list)
    """Each request's headers as they came."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
            self.requests.append((scope["method"], dict(headers)))
            self.fields.append(headers)
        await self.app(scope, receive, send)


@contextlib.contextmanager
def serving(app: Any, **config: Any) -> Iterator[str]:
    """Run uvicorn in a thread, and give its URL without a path."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        options = {"log_level": "critical", "lifespan": "off", "timeout_graceful_shutdown": 1, **config}
        server = uvicorn.Server(uvicorn.Config(app, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.contextmanager
def raw_server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that calls `answer` with each request's head, and closes the connection after it."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: _answer(answer, reader, writer), "127.0.0.1", 0, ssl=tls
        )
        ports.append(server.sockets[0].getsockname()[1])
        await stop.wait()
        # Leaving `async with server` would wait, from Python 3.12 on, for the answers that are cancelled after this.
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(_and_cancel_the_rest(serve)))
    thread.start()
    try:
        _until(lambda: bool(ports))
        yield f"{'https' if tls else 'http'}://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _and_cancel_the_rest(main: Callable[[], Awaitable[None]]) -> None:
    await main()
    # Others than ours, which asyncio has for connections that it is about to accept, end by themselves; a cancelled one
    # would leave its socket open.
    while pending := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in pending:
            if getattr(task.get_coro(), "__name__", "") == _answer.__name__:
                task.cancel()
        await asyncio.wait(pending, timeout=0.05)


async def _answer(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Cancelled at the end of a test, which asyncio's streams would report as an error.
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        head = await reader.readuntil(b"\r\n\r\n")
        await answer(head, reader, writer)
        await writer.drain()
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


def closed_port() -> str:
    """Return a URL at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}/events"


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_until_open(port: int, alive: Callable[[], bool]) -> None:
    """Return once something listens on the port."""
    _until(lambda: not alive() or _is_open(port))
    assert alive(), "the server ended at once"


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)


def missing(program: str) -> NoReturn:
    """Skip the test that needs a program, but fail it in CI."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {program} here: install it")
    raise AssertionError
