"""Streams that are open while their server shuts down, read to their ends."""

from __future__ import annotations

import itertools
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from .clients import Client
from .servers import Server, ServerKind

__all__ = [
    "APPLICATION",
    "END",
    "FAREWELL",
    "LIFESPAN_ENDED",
    "Host",
    "Shutdown",
    "Streams",
    "end_of",
    "has_ended",
    "open_streams",
    "press_ctrl_c",
    "read_all",
    "serving",
    "shut_down",
    "terminate",
]

APPLICATION = f"{__package__}.drain_app:app"
FAREWELL = "see you soon"
"""What the application's `parting` generator says last."""
LIFESPAN_ENDED = "lifespan ended"
"""What the application prints at the end of its lifespan."""
RECEIVE_BUFFER = 64 * 1024
"""Bytes. Without it the kernel keeps megabytes of a busy stream for each client."""
KEPT = 512
"""Bytes of a body's end that are kept: what came before is no matter here."""
END = re.compile(rb'retry: (\d+)\n\nevent: stream-end\ndata: {"reason":"shutdown"}\n\n\Z')
"""The last words of a body."""
LOUD = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|Traceback")

Streams = Mapping[str, int]
"""How many streams of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """What came of a server, and of the clients it had."""

    clients: Mapping[str, list[Client]]
    """By kind."""
    ended: bool
    returncode: int | None
    stdout: str
    stderr: str

    @property
    def lifespans_ended(self) -> int:
        """How many processes told their application of the end."""
        return self.stdout.count(LIFESPAN_ENDED)

    def endings(self) -> list[str]:
        """Return what the application said of each stream: kind, reason, cleanup, times `finally` was done."""
        return sorted(line.removeprefix("ended ") for line in self.stdout.splitlines() if line.startswith("ended "))

    def loud(self) -> list[str]:
        """Return the lines above INFO on standard error."""
        return [line for line in self.stderr.splitlines() if LOUD.search(line)]


class Host(Server):
    """A server with the application whose end is watched, and its clients, which leave with it."""

    def __init__(self, kind: ServerKind, application: str, host: str, port: int) -> None:
        super().__init__(kind, application, host, port)
        self.clients: list[Client] = []

    def open(self, path: str, receive_buffer: int = RECEIVE_BUFFER) -> Client:
        """Ask for a stream."""
        self.clients.append(Client((self.host, self.port), path, receive_buffer))
        return self.clients[-1]

    def stop(self) -> None:
        """End the process, and close what the clients have open."""
        super().stop()
        for client in self.clients:
            client.close()


@contextmanager
def serving(kind: str | ServerKind) -> Iterator[Host]:
    """Run a server, and stop it."""
    host = Host.start(kind, APPLICATION)
    assert isinstance(host, Host)
    try:
        yield host
    finally:
        host.stop()


def shut_down(
    kind: str | ServerKind,
    streams: Streams,
    act: Callable[[Server], None],
    *,
    timeout: float,
    **options: object,
) -> Shutdown:
    """Start a server, open `streams` with `options`, act on it, and see it end within `timeout` seconds."""
    with serving(kind) as server:
        clients = open_streams(server, streams, **options)
        act(server)
        read_all(clients, timeout)
        return Shutdown(
            clients=clients,
            ended=has_ended(server, timeout),
            returncode=server.process.returncode,
            stdout=server.stdout(),
            stderr=server.stderr(),
        )


def terminate(server: Server) -> None:
    """Send the main process SIGTERM, as a supervisor does."""
    server.process.terminate()


def press_ctrl_c(server: Server) -> None:
    """Send SIGINT to the server and its workers, as a terminal does."""
    os.killpg(server.process.pid, signal.SIGINT)


def open_streams(server: Host, streams: Streams, **options: object) -> dict[str, list[Client]]:
    """Open them all, and read of each the first item."""
    return {kind: _open(server, f"/stream/{kind}?{urlencode(options)}", count) for kind, count in streams.items()}


def _open(server: Host, path: str, count: int) -> list[Client]:
    # Not all kinds before reading any: servers let only so many connections wait to be accepted (daphne 50), and what
    # is refused comes back after a second.
    clients = [server.open(path) for _ in range(count)]
    for client in clients:
        client.read_items(1)
    return clients


def read_all(clients: Mapping[str, list[Client]], timeout: float) -> None:
    """Read all to their ends, side by side, or until the time is up. What has ended is closed."""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for client in itertools.chain.from_iterable(clients.values()):
            if client.end is None:
                selector.register(client.sock, selectors.EVENT_READ, client)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(0.1):
                _read(key.data, selector)


def _read(client: Client, selector: selectors.BaseSelector) -> None:
    client.read()
    del client.body[:-KEPT]
    if client.end is not None:
        selector.unregister(client.sock)
        client.close()


def end_of(client: Client) -> tuple[str | None, int | None]:
    """Return how the body ended, and the reconnection time that its last words tell, if they are ours."""
    found = END.search(client.body)
    return client.end, int(found[1]) if found else None


def has_ended(server: Server, timeout: float) -> bool:
    """Say whether the main process ends within `timeout` seconds."""
    try:
        server.process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    return True
