"""The hub on real servers: clients that leave in every way, that are slow or stand still, and servers that end."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.faults.clients import Client
from tests.faults.servers import SERVERS, Server, ServerKind
from tests.faults.shutdowns import END
from unbroken.wire import DecodedEvent, Decoder

from .fuzz import post
from .oracle import Diary, Verdict, judge
from .reader import Habits, Reader
from .site import serving
from .truth import Truth

TOPIC = "t"
READERS = 20
EVENTS = 200
LARGE = 20_000
"""Bytes of an event that is to fill buffers."""
FLOOD = 600
"""Such events: 12 MB, more than the kernel takes for a client that stands still."""
STILL = 8
"""Clients that stand still."""
DEADLINE = 10.0
MAX_GROWTH = 60_000
"""KiB. The log keeps 16 MB; what each of those who stand still has not read would be 96 MB in sum."""

DIRECT = ServerKind(
    "uvicorn-direct",
    (
        *("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--no-access-log"),
        *("--http", "unbroken.servers.uvicorn:EventStreamProtocol"),
    ),
)
KINDS = {
    kind.name: kind
    for kind in (
        SERVERS["uvicorn-httptools-asyncio"],
        SERVERS["uvicorn-h11-asyncio"],
        DIRECT,
        SERVERS["hypercorn"],
        SERVERS["granian"],
        SERVERS["daphne"],
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one server."""

    idle: Any
    """What it said of itself before the first reader, in the end, and while some stood still."""
    after: Any
    still: Any
    coming_and_going: Verdict
    cuts: int
    overflows: dict[str, list[DecodedEvent]]
    """By policy, what a reader got that stood still meanwhile."""
    ends: list[tuple[str | None, bytes]]
    """Of streams that were open when the server was told to end: how they did, and their bodies."""


@pytest.fixture(scope="module")
def played() -> Callable[[str], Played]:
    """Return what came of a server, which is played when a test first asks for it."""
    cache: dict[str, Played] = {}

    def played(name: str) -> Played:
        if name not in cache:
            with serving(KINDS[name]) as server:
                cache[name] = _play(server)
        return cache[name]

    return played


def _play(server: Server) -> Played:
    _publish(server, [{"n": 0}])
    with _opened(server, [f"/events?topic={TOPIC}"]) as (client,):  # what is made once, is made by this
        client.read_until(lambda: b"\n\n" in client.body)
    idle = _when_free(server)
    verdict, cuts = asyncio.run(_come_and_go(server))
    overflows, still = _stand_still(server)
    after = _when(server, lambda stats: stats["subscribers"] == 0 and stats["tasks"] == idle["tasks"])
    return Played(
        idle=idle,
        after=after,
        still=still,
        coming_and_going=verdict,
        cuts=cuts,
        overflows=overflows,
        ends=_end(server),
    )


class _opened:  # noqa: N801 - a context manager
    """Clients that stand still until they are read; closed in the end."""

    def __init__(self, server: Server, paths: Sequence[str]) -> None:
        self._clients = [Client((server.host, server.port), path, receive_buffer=4096) for path in paths]

    def __enter__(self) -> list[Client]:
        return self._clients

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()


def _publish(server: Server, data: Sequence[dict[str, Any]]) -> None:
    batch = [(TOPIC, None, json.dumps({"t": TOPIC, **fields})) for fields in data]
    asyncio.run(post((server.host, server.port), "/publish", json.dumps(batch).encode()))


def _when(server: Server, condition: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + DEADLINE
    while not condition(stats := server.json("/stats")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return stats


def _when_free(server: Server) -> Any:
    return _when(server, lambda stats: stats["subscribers"] == 0 and not any(stats["users"].values()))


async def _come_and_go(server: Server) -> tuple[Verdict, int]:
    """Have readers read, leave, stand still and come back, while events are published."""
    calm, address = asyncio.Event(), (server.host, server.port)
    readers = []
    for number in range(READERS):
        habits = Habits(cut=0.9 if number % 2 else 0.0, stays=0.3, freeze=0.3, frozen=0.3, buffer=4096)
        diary = Diary(f"reader {number}", (TOPIC,))
        readers.append(Reader(diary, habits, random.Random(number), lambda: address, calm, {}))
    reading = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        await _until(lambda: all(reader.last_id for reader in readers))
        for start in range(1, EVENTS, 5):
            batch = [(TOPIC, None, json.dumps({"t": TOPIC, "n": n, "p": "x" * 2000})) for n in range(start, start + 5)]
            positions = json.loads(await post(address, "/publish", json.dumps(batch).encode()))
            await asyncio.sleep(0.02)
        calm.set()
        await _until(lambda: all(reader.last_id == positions[-1] for reader in readers))
    finally:
        for reader in readers:
            reader.stop = True
        await asyncio.gather(*reading)
    truth = Truth.of_rows(await asyncio.to_thread(server.json, "/truth"))
    end = max((place for place in truth.facts), key=lambda place: place[1].seq)
    return judge(truth, [reader.diary for reader in readers], dict([end])), sum(reader.cuts for reader in readers)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; what has not come true in time is for the judgement."""
    deadline = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


POLICIES = {
    "resume": "",
    "drop_oldest": "&overflow=drop_oldest&max_lag=10",
    "conflate": "&overflow=conflate&max_lag=10",
    "close": "&overflow=close&max_lag=10",
}


def _stand_still(server: Server) -> tuple[dict[str, list[DecodedEvent]], Any]:
    """Have one reader for each policy stand still, and some more, while more is published than buffers hold."""
    paths = [f"/events?topic={TOPIC}&send_timeout=60{more}" for more in POLICIES.values()]
    with _opened(server, paths + paths[:1] * (STILL - len(paths))) as clients:
        before = Counter(_when(server, lambda stats: stats["subscribers"] == STILL)["ended"])
        for start in range(0, FLOOD, 20):
            _publish(server, [{"flood": n, "p": "x" * LARGE} for n in range(start, start + 20)])
        still = server.json("/stats")
        still["ended"] = Counter(still["ended"]) - before
        named = dict(zip(POLICIES, clients, strict=False))
        return {policy: _read_to_the_end(client) for policy, client in named.items()}, still


def _read_to_the_end(client: Client) -> list[DecodedEvent]:
    """Return the events of a stream, to the last of the flood or to the stream's end."""
    last = f'"flood": {FLOOD - 1}'.encode()

    def has_all() -> bool:
        end = client.body[-2 * LARGE :]
        found = end.find(last)
        return found >= 0 and end.find(b"\n\n", found) >= 0

    client.read_until(has_all)
    return Decoder().feed(bytes(client.body))


def _end(server: Server) -> list[tuple[str | None, bytes]]:
    """Have the server end while streams are open."""
    with _opened(server, [f"/events?topic={TOPIC}&drain_grace=2"] * READERS) as clients:
        for client in clients:
            client.read_until(partial(_has_block, client))
        server.process.terminate()
        for client in clients:
            client.read_until(lambda: False)
        return [(client.end, bytes(client.body)) for client in clients]


def _has_block(client: Client) -> bool:
    return b"\n\n" in client.body


def _floods(events: Sequence[DecodedEvent]) -> list[int]:
    return [json.loads(event.data)["flood"] for event in events if event.event == "message"]


def _gaps(events: Sequence[DecodedEvent]) -> Iterator[dict[str, Any]]:
    return (json.loads(event.data) for event in events if event.event == "stream-gap")


pytestmark = pytest.mark.parametrize("server", KINDS)
Play = Callable[[str], Played]


def test_all_get_everything_in_order_whoever_else_leaves_or_stands_still(server: str, played: Play) -> None:
    """Twenty readers, of whom half are cut by FIN or RST and come back, and some do not read for a while."""
    result = played(server)
    assert result.coming_and_going.problems == []
    assert result.coming_and_going.gaps == {}
    assert result.coming_and_going.resumed > 0
    assert result.cuts > 0


def test_streams_leave_nothing_behind(server: str, played: Play) -> None:
    """No subscriber, no user of a topic, no task, no descriptor more than before the first."""
    result = played(server)
    assert result.after["subscribers"] == 0
    assert not any(result.after["users"].values())
    assert result.after["tasks"] == result.idle["tasks"]


def test_who_stood_still_gets_all_of_it_from_the_log(server: str, played: Play) -> None:
    """`overflow="resume"`: megabytes behind, and nothing is missing."""
    result = played(server)
    assert result.still["live"] == 0
    # The one that is to be closed may have been, where the server takes any amount: it alone, and for that reason.
    assert result.still["ended"] in ({}, {"limit": 1})
    assert result.still["behind"] == STILL - result.still["ended"]["limit"]
    assert _floods(result.overflows["resume"]) == list(range(FLOOD))
    assert list(_gaps(result.overflows["resume"])) == []


def test_who_wants_the_newest_is_told_how_many_were_dropped(server: str, played: Play) -> None:
    """`overflow="drop_oldest"`: what came and what was dropped are all there was."""
    events = played(server).overflows["drop_oldest"]
    came, gaps = _floods(events), list(_gaps(events))
    assert gaps
    assert {gap["reason"] for gap in gaps} == {"overflow"}
    assert len(came) + sum(gap["missed"] for gap in gaps) == FLOOD
    assert came == sorted(set(came))
    assert came[-1] == FLOOD - 1


def test_who_conflates_gets_the_last_and_not_all(server: str, played: Play) -> None:
    """`overflow="conflate"`: fewer events, in order, up to the last."""
    came = _floods(played(server).overflows["conflate"])
    assert came == sorted(set(came))
    assert came[-1] == FLOOD - 1
    assert len(came) < FLOOD


def test_who_is_to_be_closed_is_closed(server: str, played: Play) -> None:
    """`overflow="close"`: the stream ends in good order, before the last event."""
    events = played(server).overflows["close"]
    came = _floods(events)
    assert came == list(range(len(came)))
    assert len(came) < FLOOD
    assert [event.event for event in events if event.event.startswith("stream-")] == ["stream-end"]


def test_readers_that_stand_still_do_not_fill_the_memory(server: str, played: Play) -> None:
    """Eight of them, twelve megabytes behind each: what they have not read is in the log, and in nobody's buffer."""
    result = played(server)
    assert result.still["rss"] - result.idle["rss"] < MAX_GROWTH


def test_a_server_that_ends_ends_its_streams_in_good_order(server: str, played: Play) -> None:
    """SIGTERM: each is told when to come back, and that it is the end; then its body ends cleanly."""
    for end, body in played(server).ends:
        assert END.search(body), body[-200:]
        assert end == "complete"
