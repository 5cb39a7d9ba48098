"""Running many cells of the matrix at once against one server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from .clients import BEHAVIOURS, Client, Post
from .servers import Server

__all__ = [
    "HERE",
    "TINY_RECEIVE_BUFFER",
    "Ask",
    "Cell",
    "Network",
    "Options",
    "Outcome",
    "ask",
    "is_healthy",
    "run",
    "stream_path",
    "wait_for",
]

SETTLE_TIMEOUT = 10.0
TINY_RECEIVE_BUFFER = 4096


@dataclass(frozen=True, slots=True)
class Cell:
    """One generator, and one client that mistreats it."""

    behaviour: str
    kind: str
    library: str | None = None
    """What makes the response; None is this package."""

    @property
    def probe(self) -> str:
        """The name under which the application notes it."""
        return ".".join(part for part in (self.library, self.behaviour, self.kind) if part)

    @property
    def source(self) -> str:
        """The part of the path that says what streams."""
        return f"{self.library}/{self.kind}" if self.library else self.kind


@dataclass(slots=True)
class Outcome:
    """What came of a cell."""

    client: Client
    healthy: list[bool] = field(default_factory=list)
    """Whether another request was answered, while the stream was open and after the client's act."""
    observed: Mapping[str, Any] = field(default_factory=dict)


Options = Mapping[str, object]
Ask = Callable[[Cell, Options], tuple[str, Post | None]]
"""How a client asks for a cell's stream: the path, and what it posts there."""


def ask(cell: Cell, options: Options) -> tuple[str, Post | None]:
    """Ask by GET, as a browser does."""
    return stream_path(cell.source, cell.probe, options), None


def stream_path(source: str, probe: str, options: Options) -> str:
    """Return the path of a stream."""
    return f"/stream/{source}/{probe}?{urlencode(options)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Where clients are."""

    host: str = "127.0.0.1"
    """The address under which they reach this machine."""
    make_socket: Callable[[], socket.socket] = socket.socket
    vanish: Callable[[], None] = lambda: None
    """Cut them off, when all have acted."""


HERE = Network()


def run(
    server: Server,
    cells: Iterable[Cell],
    options: Callable[[Cell], Options],
    settled: Callable[[Cell, Mapping[str, Any]], bool],
    network: Network = HERE,
    ask: Ask = ask,
) -> dict[Cell, Outcome]:
    """Play `cells` side by side, and observe until all are settled or the time is up."""
    cells = list(cells)
    with ThreadPoolExecutor(max(len(cells), 1)) as threads:
        played = threads.map(lambda cell: _play(server, cell, ask(cell, options(cell)), network), cells)
        outcomes = dict(zip(cells, played, strict=True))
    network.vanish()
    try:
        wait_for(lambda: _observe(server, outcomes, settled), SETTLE_TIMEOUT)
    finally:
        for outcome in outcomes.values():
            outcome.client.close()
    return outcomes


def _play(server: Server, cell: Cell, asked: tuple[str, Post | None], network: Network) -> Outcome:
    buffer = TINY_RECEIVE_BUFFER if cell.behaviour == "never-reads" else None
    path, post = asked
    outcome = Outcome(Client((server.host, server.port), path, buffer, network.make_socket, post))
    outcome.healthy.append(is_healthy(server))
    with suppress(TimeoutError):  # of a stream that gives nothing; the observations say more
        BEHAVIOURS[cell.behaviour](outcome.client)
    outcome.healthy.append(is_healthy(server))
    return outcome


def is_healthy(server: Server, timeout: float = 5.0) -> bool:
    """Say whether another request is answered."""
    try:
        return server.get("/health", timeout=timeout) == (200, b"well")
    except OSError:
        return False


def _observe(
    server: Server, outcomes: Mapping[Cell, Outcome], settled: Callable[[Cell, Mapping[str, Any]], bool]
) -> bool:
    everything = server.json("/observed")
    for cell, outcome in outcomes.items():
        outcome.observed = everything[cell.probe]
    return all(settled(cell, outcome.observed) for cell, outcome in outcomes.items())


def wait_for(condition: Callable[[], bool], timeout: float, interval: float = 0.1) -> bool:
    """Ask until `condition()` holds, and say whether it did within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(interval)
    return held
