"""From replay to live and back, in one process and in every order: no hole that is not told, nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, turns
from unbroken.hub import Hub, Position, Retention
from unbroken.wire import Decoder

EVENTS = 400


class Client:
    """Comes and goes, reads and stops reading, as a browser would with `EventSource`; checks all that it gets."""

    def __init__(self, app: Any, chance: random.Random, cursor: str) -> None:
        self.app = app
        self.chance = chance
        self.cursor = cursor
        self.events = self.gaps = 0

    async def visit(self, seconds: float) -> None:
        """Stay so long, freezing and thawing, then leave and look at what came."""
        room = self.chance.choice((0, 1, 16))
        async with opened(self.app, self.cursor, buffer_messages=room, wait_for_start=False) as stream:
            end = asyncio.get_running_loop().time() + seconds
            while (left := end - asyncio.get_running_loop().time()) > 0:
                (stream.freeze if self.chance.random() < 0.3 else stream.thaw)()
                await asyncio.sleep(min(left, self.chance.random()))
            stream.thaw()
            await turns(self.chance.randrange(10))
            self.check(stream.received)

    def check(self, received: bytes) -> None:
        """Hold each event against the one before."""
        decoder = Decoder()
        at = position(self.cursor).seq
        for event in decoder.feed(received):
            if event.event == "stream-gap":
                at = self.behind(json.loads(event.data), at)
            else:
                assert position(event.last_event_id).seq == at + 1, (event, at)
                assert event.data == str(at + 1)
                self.events += 1
                at += 1
        self.cursor = decoder.last_event_id or self.cursor

    def behind(self, gap: dict[str, Any], at: int) -> int:
        """Return where a gap ends; it must begin where the client was, and count what is between."""
        assert gap["reason"] in ("trimmed", "overflow")
        assert position(gap["after"]).seq == at, (gap, at)
        self.gaps += 1
        end = at + int(gap["missed"])
        assert gap["next"] is None or position(gap["next"]).seq == end + 1
        return end


def position(text: str) -> Position:
    """Return the position that an id says."""
    found = Position.parse(text)
    assert found is not None, text
    return found


async def disturb(log: OddLog, chance: random.Random) -> None:
    """Take hints away for a while, or the whole log."""
    while True:
        await asyncio.sleep(chance.random() * 3)
        log.deaf = chance.random() < 0.3
        log.away = chance.random() < 0.2
        await asyncio.sleep(chance.random())
        log.deaf = log.away = False
        log.on_doubt(None)


async def publish(hub: Hub, log: OddLog, chance: random.Random) -> None:
    """Publish numbers, in bursts and with pauses, while the log is there."""
    number = 0
    while number < EVENTS:
        if not log.away:
            number += 1
            await hub.publish("t", number)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.2)


async def play(hub: Hub, log: OddLog, seed: int, **arguments: Any) -> list[Client]:
    """Let clients come and go among publishing and disturbances, then let each read to the end."""
    chance, start = random.Random(seed), await hub.position("t")
    app = Endpoint(hub, "t", send_timeout=None, **arguments)
    clients = [Client(chance.choice((app, stepped(app))), chance, start) for _ in range(12)]
    disturbing = asyncio.create_task(disturb(log, chance))
    publishing = asyncio.create_task(publish(hub, log, chance))

    async def come_and_go(client: Client) -> None:
        while not publishing.done():
            await client.visit(chance.random() * 4)
            await asyncio.sleep(chance.random() * chance.choice((0, 0.1, 3)))

    await asyncio.gather(publishing, *map(come_and_go, clients))
    disturbing.cancel()
    await asyncio.wait([disturbing])
    log.deaf = log.away = False
    log.on_doubt(None)
    for client in clients:
        await client.visit(100)
        assert position(client.cursor).seq == EVENTS
    return clients


@pytest.mark.parametrize("seed", range(4))
def test_every_client_gets_every_event_once(seed: int) -> None:
    """Where the log keeps all of them there is no gap: across cuts, slowness, lost hints and a log that goes away."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            clients = await play(hub, log, seed)
            assert [(client.events, client.gaps) for client in clients] == [(EVENTS, 0)] * len(clients)
            assert hub.stats().subscribers == 0

    run(main())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("overflow", ["resume", "drop_oldest"])
def test_what_a_client_missed_it_was_told(seed: int, overflow: str) -> None:
    """A log that keeps few: each gap begins where the client was, ends where it goes on, and is counted truly."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=Retention(max_events=20)) as hub:
            await play(hub, log, seed, overflow=overflow, max_lag=8)

    run(main())
