"""One process in which everything happens late, twice, out of order or not at all; played from a seed, in no time."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from tests.faults.hub.meddling import MeddledLog
from tests.faults.hub.oracle import Diary, Got, Opened, Told, Verdict, judge
from tests.faults.hub.reader import Blocks
from unbroken.errors import LogUnavailable, StreamGap
from unbroken.hub import Gap, Hub, Retention
from unbroken.hub.cursor import digest_of, read_cursor
from unbroken.logs import Appended, Head, Page, Position
from unbroken.testing import run_with_virtual_clock

__all__ = ["play"]

TOPICS = ("a", "b", "c")
SETTLE_TIMEOUT = 60.0
"""Virtual seconds."""


def play(seed: int) -> Verdict:
    """Play one schedule, and judge its readers."""
    return run_with_virtual_clock(_World(random.Random(seed)).play())


class UnrulyLog(MeddledLog):
    """Answers late, refuses at times, and tells of what is new as the contract lets it: late, twice, or not at all."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.calm = False
        self.away = False
        self._missed: set[str] = set()

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return a page that may be old when it arrives, and short."""
        await self._wait()
        page = await super().read(topic, after, min(limit, self.rng.choice((1, 3, limit))) if limit else 0)
        await self._wait()
        return page

    async def head(self, topic: str) -> Head:
        """Return a head that may be old when it arrives."""
        return (await self.read(topic, 0, 0)).head

    async def append(
        self,
        topic: str,
        drafts: Any,
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append, and answer late or not at all."""
        await self._wait()
        appended = await super().append(topic, drafts, key=key, fence=fence, close=close)
        await self._wait()
        return appended

    def tell(self, topic: str, appended: Appended, close: bool) -> None:
        """Tell of it now, later, twice, or only that something was missed."""
        fate = "now" if self.calm else self.rng.choice(("now", "now", "now", "later", "twice", "never"))
        if fate in ("now", "twice"):
            super().tell(topic, appended, close)
        loop = asyncio.get_running_loop()
        if fate in ("later", "twice"):
            loop.call_later(self.rng.random(), self._tell_late, topic, appended, close)
        if fate == "never":
            loop.call_later(self.rng.random(), self.doubt, (topic,) if self.rng.random() < 0.5 else None)

    def doubt(self, topics: Collection[str] | None) -> None:
        """Say that something may have been missed."""
        if self._listener is not None:
            self._listener.on_doubt(topics)

    def _tell_late(self, topic: str, appended: Appended, close: bool) -> None:
        # What was taken back meanwhile is not told: a reader could not tell it from what was written again.
        places = {(topic, Position(appended.epoch, entry.seq, entry.tag)) for entry in appended.entries}
        if self._listener is not None and not places & self.truth.undone:
            super().tell(topic, appended, close)

    async def _wait(self) -> None:
        if self.away and not self.calm:
            raise LogUnavailable("the log is away")
        if self.calm or self.rng.random() < 0.5:
            return
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        if self.rng.random() < 0.2:
            await asyncio.sleep(self.rng.random() / 2)


class _World:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.log = UnrulyLog(rng)
        kept = rng.choice((3, 20, 1000))
        self.hub = Hub(self.log, retention=Retention(max_events=kept))
        self.readers: list[_Reader] = []
        self.count = 0

    async def play(self) -> Verdict:
        async with self.hub:
            kinds = (_Visitor, _Visitor, _Visitor, _Subscriber)
            self.readers = [self.rng.choice(kinds)(number, self.hub, self.rng) for number in range(5)]
            reading = [asyncio.create_task(reader.run()) for reader in self.readers]
            for _ in range(self.rng.choice((10, 60))):
                await self._act()
            ends = await self._settle()
            for task in reading:
                task.cancel()
            results = await asyncio.gather(*reading, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results), results
            left = self.hub.stats().subscribers
        verdict = judge(self.log.truth, [reader.diary for reader in self.readers], ends)
        assert left == 0, f"{left} subscribers are left"
        return verdict

    async def _act(self) -> None:
        rng, topic = self.rng, self.rng.choice(TOPICS)
        match rng.choices(("publish", "take back", "rewrite", "lose", "trim", "away", "wait"), (12, 2, 2, 1, 2, 1, 8))[
            0
        ]:
            case "publish":
                await asyncio.gather(*(self._publish(rng.choice(TOPICS)) for _ in range(rng.choice((1, 2, 10)))))
            case "take back":
                self.log.take_back(topic, rng.choice((1, 3)))
            case "rewrite":
                count = rng.choice((1, 3))
                self.log.take_back(topic, count, [self._data(topic) for _ in range(count + rng.choice((0, 1, 2)))])
            case "lose":
                self.log.lose(topic)
            case "trim":
                await self.log.trim(topic, Retention(max_events=rng.choice((1, 5))))
            case "away":
                self.log.away = not self.log.away
            case "wait":
                await asyncio.sleep(rng.choice((0, 0, 0.01, 1.0)))

    def _data(self, topic: str) -> str:
        self.count += 1
        return json.dumps({"t": topic, "k": str(self.count)})

    async def _publish(self, topic: str) -> Position | None:
        data = self._data(topic)
        try:
            return await self.hub.publish(topic, data, key=str(self.count))
        except LogUnavailable:
            return None

    async def _settle(self) -> dict[str, Position]:
        """Let all come to the end; what is published first may still lie in a gap."""
        self.log.calm = True
        for reader in self.readers:
            reader.calm = True
        self.log.doubt(None)
        ends: dict[str, Position] = {}
        for _ in range(2):
            for topic in TOPICS:
                position = await self._publish(topic)
                assert position is not None
                ends[topic] = position
            deadline = asyncio.get_running_loop().time() + SETTLE_TIMEOUT
            while asyncio.get_running_loop().time() < deadline:
                if all(reader.is_at(ends) for reader in self.readers):
                    break
                await asyncio.sleep(0.1)
        return ends


class _Reader:
    def __init__(self, number: int, hub: Hub, rng: random.Random) -> None:
        topics = tuple(rng.sample(TOPICS, rng.choice((1, 1, 2, 3))))
        self.hub = hub
        self.rng = rng
        self.calm = False
        self.last_id = ""
        self.options: dict[str, Any] = rng.choice(
            ({}, {}, {"on_gap": "latest"}, {"overflow": "drop_oldest", "max_lag": 2}, {"filter": lambda _: True})
        )
        self.diary = Diary(f"{type(self).__name__} {number} {self.options}", topics, "overflow" in self.options)

    async def run(self) -> None:
        """Read for ever."""
        while True:
            stays = 1e9 if self.calm else self.rng.choice((0.0, 0.1, 1.0, 5.0))
            await self.visit(asyncio.get_running_loop().time() + stays)
            await asyncio.sleep(self.rng.choice((0.01, 0.5)))  # never 0: time passes only when nobody is busy

    async def visit(self, until: float) -> None:
        """Read over one connection."""
        raise NotImplementedError

    def is_at(self, ends: dict[str, Position]) -> bool:
        """Whether it has come to the ends."""
        cursor = read_cursor(self.last_id, b"") if self.last_id else None
        if cursor is None or isinstance(cursor, Position):
            return cursor == ends[self.diary.topics[0]]
        return all(cursor.get(digest_of(topic)) == ends[topic] for topic in self.diary.topics)


class _Visitor(_Reader):
    """A client of a response, whose server takes some time with what it is sent."""

    async def visit(self, until: float) -> None:
        """Ask for a response, and leave."""
        headers = [(b"last-event-id", self.last_id.encode())] if self.last_id else []
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b""}
        blocks, gone = Blocks(self.diary, self.last_id), asyncio.get_running_loop().create_future()
        slowness = self.rng.choice((0.0, 0.1, 0.9))

        async def receive() -> Any:
            await gone
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if self.rng.random() < slowness and not self.calm:
                await asyncio.sleep(self.rng.choice((0, 0, 0.1, 2.0)))
            if gone.done():
                return
            if message["type"] == "http.response.start":
                blocks.open(dict(message["headers"]).get(b"stream-resume", b"").decode())  # not while the log is away
            else:
                blocks.take(message.get("body", b""))
                self.last_id = blocks.last_id

        response = self.hub.response(Request(scope), *self.diary.topics, public=True, **self.options)
        serving = asyncio.create_task(response(scope, receive, send))
        try:
            while not serving.done() and (self.calm or asyncio.get_running_loop().time() < until):
                await asyncio.wait((serving,), timeout=0.5)
        finally:
            if not gone.done():
                gone.set_result(None)
            await serving


class _Subscriber(_Reader):
    """Code that iterates."""

    async def visit(self, until: float) -> None:
        """Iterate for a while."""
        subscription = self.hub.subscribe(*self.diary.topics, after=self.last_id or None)
        is_first = True
        try:
            while self.calm or asyncio.get_running_loop().time() < until:
                try:
                    async with asyncio.timeout(0.5):
                        event = await anext(subscription)
                except StreamGap as exc:
                    self._begin(is_first)
                    self.diary.steps.append(Told(_json(exc.gap), time.time()))
                except TimeoutError:
                    continue
                except LogUnavailable:
                    await asyncio.sleep(0.1)
                    continue
                else:
                    self._begin(is_first)
                    self.last_id = subscription.position or ""
                    self.diary.steps.append(Got(self.last_id, event.data))
                is_first = False
        finally:
            await subscription.aclose()

    def _begin(self, is_first: bool) -> None:
        if is_first:
            self.diary.steps.append(Opened(self.last_id, ""))


def _json(gap: object) -> str:
    assert isinstance(gap, Gap)
    after, following = (None if place is None else str(place) for place in (gap.after, gap.next))
    said = {"reason": str(gap.reason), "topic": gap.topic, "after": after, "next": following, "missed": gap.missed}
    return json.dumps(said)
