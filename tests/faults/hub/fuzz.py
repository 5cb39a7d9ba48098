"""The hand-over fuzz: servers are killed, the log is taken back, readers come and go; then comes the judgement."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.diagnose.endpoint.proxies import caddy
from tests.faults.servers import Server
from unbroken.hub.cursor import digest_of, read_cursor
from unbroken.logs import Position

from .app import DATABASE, KEPT, WITNESS
from .database import Database
from .operated import Operated
from .oracle import Diary, Problem, judge
from .plan import Plan, Report
from .reader import Habits, Reader
from .site import APPLICATION, kind
from .truth import Truth

__all__ = ["play", "post"]

GATHER_TIMEOUT = 4.0
"""Seconds for all to come back to a server."""
SETTLE_TIMEOUT = 15.0
"""Seconds after the last event until all must have it: no server is missing, and nobody freezes."""
ANSWER_TIMEOUT = 10.0


async def play(plan: Plan, folder: Path) -> Report:
    """Play a plan, with the log in a file in `folder`."""
    return await _Fuzz(plan, folder).play()


@dataclass(frozen=True, slots=True)
class _Ack:
    topic: str
    key: str
    position: Position
    data: str


class _Fuzz:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.folder = folder
        on_file = not plan.in_memory and plan.engine is None
        self.database = Database(folder / f"{plan.seed}.db") if on_file else None
        self.operated = Operated(plan.engine, folder, self.rng) if plan.engine is not None else None
        self.topics = [f"topic:{number}" for number in range(plan.topics)]
        self.servers: list[Server] = []
        self.front: tuple[str, int] | None = None
        self.blows: Counter[str] = Counter()
        self.acks: list[_Ack] = []
        self.retries = 0
        self.problems: list[Problem] = []
        self.calm = asyncio.Event()
        self.quiet = asyncio.Event()
        """Publishers stop."""
        self.copies = self.anew = 0

    async def play(self) -> Report:
        if self.database is not None:
            await self.database.create()
        async with self.operated or nullcontext(), self._all_servers():
            readers = [self._make_reader(number) for number in range(self.plan.readers)]
            async with asyncio.TaskGroup() as group:
                reading = [group.create_task(reader.run()) for reader in readers]
                publishing = [group.create_task(self._publish(number)) for number in range(self.plan.publishers)]
                await self._strike(asyncio.get_running_loop().time() + self.plan.seconds)
                self.quiet.set()
                await asyncio.gather(*publishing)
                ends = await self._settle(readers)
                for reader in readers:
                    reader.stop = True
                await asyncio.gather(*reading)
            truth = await self._truth()
            demotions = sum([(await asyncio.to_thread(server.json, "/stats"))["demotions"] for server in self.servers])
        verdict = await asyncio.to_thread(judge, truth, [reader.diary for reader in readers], ends)
        return Report(
            verdict,
            len(self.acks),
            self.retries,
            sum(reader.cuts for reader in readers),
            self.blows,
            demotions,
            Counter(status for reader in readers for status in reader.refused),
            [
                *_doubt_acks(truth, self.acks, ends),
                *(_doubt_loss(truth, self.acks) if self.plan.keeps else ()),
                *self._doubt_file(),
                *self.problems,
            ],
        )

    # Servers.

    @asynccontextmanager
    async def _all_servers(self) -> AsyncIterator[None]:
        place = self.database or self.operated
        witness = str(self.folder) if self.operated else ""
        environment = {KEPT: str(self.plan.kept), DATABASE: place.url if place else "", WITNESS: witness}
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        try:
            await self._start(self.plan.processes)
            with self._front():
                yield
        finally:
            await self._stop()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    @contextmanager
    def _front(self) -> Iterator[None]:
        if not self.plan.proxied:
            yield
            return
        first, *others = (f"{server.host}:{server.port}" for server in self.servers)
        with caddy(self.folder, first, others=others) as address:
            host, _, port = address.removeprefix("http://").partition(":")
            self.front = (host, int(port))
            yield

    async def _start(self, count: int) -> None:
        which = kind(
            *(("--workers", str(self.plan.workers)) if self.plan.workers > 1 else ()),
            *(("--break", self.plan.mutation) if self.plan.mutation else ()),
        )
        starting = (asyncio.to_thread(Server.start, which, APPLICATION) for _ in range(count))
        self.servers += await asyncio.gather(*starting)

    async def _stop(self) -> None:
        servers, self.servers = self.servers, []
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in servers))
        self._read_what_is_left_of(servers)

    def _read_what_is_left_of(self, servers: list[Server]) -> None:
        loud = [server.stderr() for server in servers]
        self.problems += [Problem("traceback", "", text[-2000:]) for text in loud if "Traceback" in text]

    def _pick(self, rng: random.Random) -> tuple[str, int]:
        if self.front is not None:
            return self.front
        if not self.servers:
            raise ConnectionRefusedError
        server = rng.choice(self.servers)
        return server.host, server.port

    # Those who read and publish.

    def _make_reader(self, number: int) -> Reader:
        rng = random.Random(f"{self.plan.seed} reader {number}")
        several = number % 3 == 0
        topics = (
            tuple(rng.sample(self.topics, rng.randint(2, min(4, len(self.topics)))))
            if several
            else (rng.choice(self.topics),)
        )
        drops = number % 5 == 4
        options = {"overflow": "drop_oldest", "max_lag": "20"} if drops else {}
        habits = Habits(cut=0.8, stays=1.0, freeze=0.3, frozen=0.8, buffer=4096 if number % 2 else None)
        diary = Diary(f"reader {number}", topics, overflows=drops)
        return Reader(diary, habits, rng, lambda: self._pick(rng), self.calm, options)

    async def _publish(self, number: int) -> None:
        rng = random.Random(f"{self.plan.seed} publisher {number}")
        count = 0
        while not self.quiet.is_set():
            batch = []
            for _ in range(rng.choice((1, 1, 2, 8))):
                count += 1
                topic, key = rng.choice(self.topics), f"{number}.{count}"
                padding = "x" * rng.choice((0, 0, 30, 2000, 10_000))
                batch.append((topic, key, json.dumps({"t": topic, "k": key, "p": padding})))
            await self._publish_batch(rng, batch)
            await asyncio.sleep(rng.expovariate(1 / self.plan.pause))

    async def _publish_batch(self, rng: random.Random, batch: list[tuple[str, str, str]]) -> None:
        body = json.dumps(batch).encode()
        while True:
            try:
                answer = await post(self._pick(rng), "/publish", body)
                break
            except (OSError, TimeoutError, ValueError):
                self.retries += 1
                await asyncio.sleep(0.05)
        for (topic, key, data), text in zip(batch, json.loads(answer), strict=True):
            position = Position.parse(text)
            assert position is not None
            self.acks.append(_Ack(topic, key, position, data))

    # Blows.

    async def _strike(self, until: float) -> None:
        loop, plan = asyncio.get_running_loop(), self.plan
        names, weights = zip(*plan.blows, strict=True) if plan.blows else ((), ())
        while (now := loop.time()) < until:
            await asyncio.sleep(min(self.rng.expovariate(1 / plan.chaos), until - now))
            if names and loop.time() < until:
                name = self.rng.choices(names, weights)[0]
                await self._blow(name)
                self.blows[name] += 1

    async def _blow(self, name: str) -> None:
        topic = self.rng.choice(self.topics)
        match name:
            case "kill":
                await self._kill()
            case "take back":
                await self._meddle(topic, self.rng.choice((1, 2, 5, 20)))
            case "rewrite":
                await self._meddle(topic, self.rng.choice((1, 2, 5, 20)), self.rng.choice((0, 1, 3)))
            case "lose":
                await self._meddle(topic, -1)
            case "trim":
                await self._trim(topic)
            case "restore":
                await self._restore()
            case "lose all":
                await self._lose_all()
            case _:
                assert self.operated is not None
                await self.operated.strike(name)

    async def _kill(self) -> None:
        server = self.rng.choice(self.servers)
        if self.plan.workers > 1:
            while not (workers := _workers(server)):  # on a busy machine all may be being started anew
                await asyncio.sleep(0.05)
            os.kill(self.rng.choice(workers), signal.SIGKILL)  # its parent starts another
            return
        self.servers.remove(server)
        server.process.kill()
        if self.front is None:
            await asyncio.gather(asyncio.to_thread(server.stop), self._start(1))
        else:
            await asyncio.to_thread(server.stop)
            self.servers.append(await asyncio.to_thread(Server.restart, server, APPLICATION))
        self._read_what_is_left_of([server])

    async def _meddle(self, topic: str, count: int, more: int | None = None) -> None:
        """Take back so many events, all for -1; and write as many anew, and `more`, before anybody looks."""
        anew = [] if more is None else [self._data(topic) for _ in range(count + more)]
        if self.database is None:
            await post(self._pick(self.rng), f"/meddle?topic={topic}&count={count}", json.dumps(anew).encode())
        elif count < 0:
            await asyncio.to_thread(self.database.lose, topic)
        else:
            await asyncio.to_thread(self.database.take_back, topic, count, anew)

    def _data(self, topic: str) -> str:
        self.anew += 1
        return json.dumps({"t": topic, "k": f"anew.{self.anew}"})

    async def _trim(self, topic: str) -> None:
        try:
            await post(self._pick(self.rng), f"/trim?topic={topic}&keep={self.rng.choice((1, 10, 50))}", b"")
        except (OSError, TimeoutError, ValueError):
            self.retries += 1

    async def _restore(self) -> None:
        """Go back to a copy, taken a moment ago, while no server runs."""
        assert self.database is not None
        self.copies += 1
        copy = self.folder / f"{self.plan.seed}.{self.copies}.copy"
        await asyncio.to_thread(self.database.copy, copy)
        await asyncio.sleep(self.rng.uniform(0.1, 1.0))
        await self._with_all_down(lambda: asyncio.to_thread(self.database.restore, copy))  # type: ignore[union-attr]

    async def _lose_all(self) -> None:
        async def begin_anew() -> None:
            assert self.database is not None
            await asyncio.to_thread(self.database.lose_all)
            await self.database.create()

        await self._with_all_down(begin_anew)

    async def _with_all_down(self, act: Callable[[], Awaitable[None]]) -> None:
        for server in self.servers:
            server.process.send_signal(self.rng.choice((signal.SIGKILL, signal.SIGTERM)))
        count = len(self.servers)
        await self._stop()
        await act()
        await self._start(count)

    # The end.

    async def _settle(self, readers: list[Reader]) -> dict[str, Position]:
        """Publish a last event everywhere, and wait until all have come to it.

        Twice: who finds out only now that something was taken back is told of a gap, in which the first may be. Of
        the second nobody has an excuse.
        """
        self.calm.set()
        await self._see_all_at(await self._publish_last(), readers, GATHER_TIMEOUT)
        ends = await self._publish_last()
        await self._see_all_at(ends, readers, SETTLE_TIMEOUT)
        return ends

    async def _publish_last(self) -> dict[str, Position]:
        seen = len(self.acks)
        for topic in self.topics:
            key = f"last {seen}"
            await self._publish_batch(self.rng, [(topic, key, json.dumps({"t": topic, "k": key}))])
        return {ack.topic: ack.position for ack in self.acks[seen:]}

    async def _see_all_at(self, ends: dict[str, Position], readers: list[Reader], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not all(_is_at(reader, ends) for reader in readers):
            await asyncio.sleep(0.05)

    async def _truth(self) -> Truth:
        if self.operated is not None:
            return await self.operated.truth()
        if self.database is not None:
            return await asyncio.to_thread(self.database.truth)
        return Truth.of_rows(await asyncio.to_thread(self.servers[0].json, "/truth"))

    def _doubt_file(self) -> list[Problem]:
        whole = self.database is None or self.database.is_whole()
        return [] if whole else [Problem("file", "", "SQLite finds the file damaged")]


def _is_at(reader: Reader, ends: dict[str, Position]) -> bool:
    cursor = read_cursor(reader.last_id, b"") if reader.last_id else None
    topics = reader.diary.topics
    if cursor is None or isinstance(cursor, Position):
        return cursor == ends[topics[0]]
    return all(cursor.get(digest_of(topic)) == ends[topic] for topic in topics)


def _doubt_acks(truth: Truth, acks: list[_Ack], ends: dict[str, Position]) -> list[Problem]:
    """Hold what publishers were told against what the log had; and look for keys that were used twice."""
    problems = []
    for ack in acks:
        fact = truth.facts.get((ack.topic, ack.position))
        if fact is None or fact.payload != f"data: {ack.data}\n":
            problems.append(Problem("ack", ack.key, f"{ack.topic} {ack.position} is not in the log"))
    for topic, end in ends.items():
        path = [position for position in truth.path(topic, end) if position.seq]
        keys = Counter(json.loads(truth.facts[topic, position].payload[6:])["k"] for position in path)
        problems += [Problem("ack", key, f"{topic} has it {count} times") for key, count in keys.items() if count > 1]
    return problems


def _doubt_loss(truth: Truth, acks: list[_Ack]) -> list[Problem]:
    """Look for what was acknowledged and is not behind a topic's end: made up, or lost where nothing was taken back."""
    lost = [ack for ack in acks if (ack.topic, ack.position) in truth.undone]
    return [Problem("ack", ack.key, f"{ack.topic} {ack.position} was acknowledged, and is lost") for ack in lost]


def _workers(server: Server) -> list[int]:
    """Return the processes that serve: the children of the main one, but for the helper of multiprocessing."""
    main = server.process.pid
    children = map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def post(address: tuple[str, int], path: str, body: bytes) -> bytes:
    """Make one request, and return the body of an answer that is 200.

    Raises:
        OSError, TimeoutError, ValueError: it cannot be said that it was done.
    """
    async with asyncio.timeout(ANSWER_TIMEOUT):
        reader, writer = await asyncio.open_connection(*address)
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.read(-1)
        finally:
            writer.close()
    head_, _, content = answer.partition(b"\r\n\r\n")
    if not head_.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"{path} was answered with {head_[:100]!r}")
    length = int(head_.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    if len(content) != length:
        raise ValueError(f"{path} was answered in part")
    return content
