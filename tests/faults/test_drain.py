"""Servers that are ended while hundreds of streams are open."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from .servers import SERVERS
from .shutdowns import FAREWELL, Shutdown, Streams, end_of, press_ctrl_c, shut_down, terminate

GRACE = 10.0
"""Seconds: more than is needed here by a machine that has other work, too."""
RETRIES = range(1000, 6001)
EACH = 50
STREAMS: Streams = dict.fromkeys(("sleeping", "ticking", "queue", "busy", "resources", "sync", "parting"), EACH)
BLOCKED: Streams = {**STREAMS, "sync-blocking": 5}
WAYS = {"SIGTERM": (terminate, STREAMS), "Ctrl-C": (press_ctrl_c, BLOCKED)}
DISTINCT = ("uvicorn-h11-asyncio", "uvicorn-httptools-uvloop", "hypercorn", "granian", "daphne", "gunicorn")
"""Servers that differ in how they are told of signals. To a signal, the variants of one are the same."""
EVERY_TIME = {
    *((server, "SIGTERM") for server in DISTINCT),
    ("uvicorn-httptools-uvloop", "Ctrl-C"),
    ("granian", "Ctrl-C"),
}
"""What is played in every run; `make soak` plays the rest too."""
CASES = [
    pytest.param(server, way, marks=() if (server, way) in EVERY_TIME else pytest.mark.soak)
    for server, way in (*((server, "SIGTERM") for server in SERVERS), *((server, "Ctrl-C") for server in DISTINCT))
]

pytestmark = pytest.mark.parametrize(("server", "way"), CASES)


class Played(NamedTuple):
    """One server, ended with streams and without."""

    full: Shutdown
    idle: Shutdown


@pytest.fixture(scope="module")
def played() -> Callable[[str, str], Played]:
    """Return what came of a server's end, which is played when a test first asks for it."""
    cache: dict[tuple[str, str], Played] = {}

    def play(server: str, way: str) -> Played:
        if (server, way) not in cache:
            act, streams = WAYS[way]
            full = shut_down(server, streams, act, timeout=GRACE + 5, drain_grace=GRACE)
            cache[server, way] = Played(full, shut_down(server, {}, act, timeout=GRACE))
        return cache[server, way]

    return play


Play = Callable[[str, str], Played]


def test_every_client_reads_the_end_of_its_stream(played: Play, server: str, way: str) -> None:
    """Each body is complete, and ends with a reconnection time, drawn for each, and with the reason."""
    for kind, clients in played(server, way).full.clients.items():
        ends = [end_of(client) for client in clients]
        assert [end for end, _ in ends] == ["complete"] * len(clients), (kind, ends)
        retries = [retry for _, retry in ends]
        assert all(retry in RETRIES for retry in retries), (kind, retries)
        assert len(set(retries)) > 1, (kind, retries)


def test_every_farewell_arrives(played: Play, server: str, way: str) -> None:
    """What a generator yields in answer to `ServerClosing` stands before the last words."""
    farewell = f"\n\ndata: {FAREWELL}\n\nretry: ".encode()
    assert [farewell in client.body for client in played(server, way).full.clients["parting"]] == [True] * EACH


def test_every_generator_cleans_up(played: Play, server: str, way: str) -> None:
    """Each is ended for the shutdown, and its `finally` is run to its end, once."""
    streams = WAYS[way][1]
    wanted = [f"{kind} shutdown finished 1" for kind, count in streams.items() for _ in range(count)]
    assert played(server, way).full.endings() == sorted(wanted)


def test_the_server_ends_as_it_does_without_streams(played: Play, server: str, way: str) -> None:
    """In time, with the same exit code, and having told the application if it ever does."""
    full, idle = played(server, way)
    assert (full.ended, idle.ended) == (True, True)
    assert (full.returncode, full.lifespans_ended) == (idle.returncode, idle.lifespans_ended)
    assert idle.lifespans_ended == (0 if server == "daphne" else 1)


def test_a_shutdown_is_no_news(played: Play, server: str, way: str) -> None:
    """Nothing above INFO is logged by the server or this package, nor as a traceback."""
    # gunicorn remarks on each worker that Ctrl-C has ended, with streams or without.
    assert [line for line in played(server, way).full.loud() if "was sent SIGINT" not in line] == []
