"""Runs whose processes are killed, frozen and terminated, and readers that come and go; then comes the judgement."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.servers import Server

from .app import Settings
from .gate import Gate
from .ledger import read_ledger
from .oracle import Diary, Order, Problem, Story, judge
from .places import place
from .reader import Habits, Origin, Reader
from .system import System, until

__all__ = ["Blow", "Plan", "Report", "play"]

Blow = Literal["kill", "freeze", "terminate"]

SETTLE_TIMEOUT = 20.0
"""Seconds after the last blow until all readers must have an end."""
FEW = 3
"""Items that a run has sent when it is in the midst."""
HELD = "held"
"""The gate that nobody opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is played. The seed decides what everybody does, not which of two comes first. Times are in seconds."""

    seed: int
    engine: str = "sqlite"
    servers: int = 3
    runs: int = 30
    """In all: some of them in the midst of each blow, the others now and then, started by anybody."""
    burst: int = 6
    """Of those, at the server that a blow is for."""
    readers: int = 2
    """Of each run."""
    blows: tuple[Blow, ...] = ("kill", "freeze", "kill")
    items: int = 70
    """That a run sends, about."""
    pause: float = 0.015
    """Between two of them."""
    lease: float = 1.0
    mutation: str | None = None


@dataclass(slots=True)
class Report:
    """What was done, and what came of it."""

    problems: list[Problem]
    runs: int
    events: int
    """That readers were given."""
    connections: int
    leaves: int
    refused: int
    """Appends, of producers whose run others had taken over."""
    hasty: int
    """Runs that were taken from a process that was only slow: with a short lease, on a machine that is busy."""
    attempts: Counter[int]
    statuses: Counter[str]
    kinds: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = Counter(problem.kind for problem in self.problems)

    def __str__(self) -> str:
        counts = {
            "runs": self.runs,
            "events": self.events,
            "connections": self.connections,
            "leaves": self.leaves,
            "refused": self.refused,
            "hasty": self.hasty,
            **{f"attempts {number}": count for number, count in sorted(self.attempts.items())},
            **dict(sorted(self.statuses.items())),
            **{f"PROBLEM {kind}": count for kind, count in sorted(self.kinds.items())},
        }
        return ", ".join(f"{name} {count:,}" for name, count in counts.items())


async def play(plan: Plan, folder: Path) -> Report:
    """Play a plan, with the log and the ledgers in `folder`."""
    async with place(plan.engine, folder) as url:
        settings = Settings(url=url, folder=str(folder), lease=plan.lease, ttl=300.0, mutation=plan.mutation)
        rng = random.Random(plan.seed)
        async with System(settings, plan.servers, rng) as system:
            return await _Play(plan, system, rng, folder).play()


class _Play:
    def __init__(self, plan: Plan, system: System, rng: random.Random, folder: Path) -> None:
        self.plan = plan
        self.system = system
        self.rng = rng
        self.chance = random.Random(plan.seed)
        """For what is asked for now and then: that depends on nobody's haste."""
        self.chance_of_bursts = random.Random(f"bursts {plan.seed}")
        """The same for what is asked for before each blow, which may come before or after the other."""
        self.folder = folder
        self.orders: dict[str, Order] = {}
        self.readers: list[Reader] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.calm = asyncio.Event()
        """Readers stay from now on."""

    async def play(self) -> Report:
        plan = self.plan
        scattered = asyncio.create_task(self._scatter(plan.runs - plan.burst * len(plan.blows)))
        try:
            for count, blow in enumerate(plan.blows):
                await self._strike(blow, count % (plan.servers - 1), Gate(self.folder, f"blow-{count}"))
            await scattered
            self.calm.set()
            await self._settle()
        finally:
            for task in (scattered, *self.tasks):
                task.cancel()
            await asyncio.wait((scattered, *self.tasks))
        stories = {run: await self.system.story(run) for run in self.orders}
        return self._report(stories)

    # Runs and their readers.

    async def _scatter(self, count: int) -> None:
        """Have runs started now and then: some at all servers at once, as by a double click; some are cancelled.

        Of these, every other one would not end by itself, and the rest may end before they hear of it.
        """
        for number in range(count):
            name = f"scattered-{number}"
            cancelled = number % 5 == 2
            items = self.plan.items if cancelled else self.chance.randint(5, self.plan.items)
            order = self._order(self.chance, name, items, cancelled=cancelled)
            gate = HELD if number % 10 == 2 else ""
            everybody = self.chance.sample(range(self.plan.servers), self.plan.servers)[: self.chance.choice((1, 3))]
            await asyncio.gather(*(self._start(order, first, gate) for first in everybody))
            self._read(name)
            if order.cancelled:
                self.tasks.append(asyncio.create_task(self._cancel(name, self.chance.uniform(0, 0.3))))
            await asyncio.sleep(self.chance.expovariate(1 / 0.1))

    async def _cancel(self, run: str, after: float) -> None:
        await asyncio.sleep(after)
        answer = await self.system.post(f"/runs/{run}/cancel")
        assert answer.status_code == 200, answer.text

    async def _burst(self, target: int, gate: str) -> None:
        """Have runs started by one server, that end behind a gate, and wait until all are in their midst.

        One that others have taken from it meanwhile, since it was slow, is waited for no more.
        """
        first = len(self.orders)
        names = [f"burst-{number}" for number in range(first, first + self.plan.burst)]
        for name in names:
            self._order(self.chance_of_bursts, name, self.plan.items)
        await asyncio.gather(*(self._start(self.orders[name], target, gate, stays=True) for name in names))
        for name in names:
            self._read(name)

        async def are_in_their_midst() -> bool:
            stand = await self.system.ask(target, "/stand")
            return all(stand["sent"].get(name, 0) >= FEW or name in stand["away"] for name in names)

        await until(are_in_their_midst, "the start of runs")

    def _order(self, chance: random.Random, name: str, items: int, *, cancelled: bool = False) -> Order:
        order = Order(
            run=name,
            items=items,
            restarts=chance.random() < 0.5,
            coalesces=chance.random() < 0.25,
            cancelled=cancelled,
        )
        self.orders[name] = order
        return order

    async def _start(self, order: Order, first: int, gate: str, *, stays: bool = False) -> None:
        snapshot_every = 20 if order.items % 3 == 0 else 0
        await self.system.start(
            order.run,
            "count",
            [order.items, self.plan.pause, snapshot_every, not order.coalesces, gate],
            first=first,
            stays=stays,
            on_orphan="restart" if order.restarts else "fail",
            max_attempts=100,
            coalesce=0.02 if order.coalesces else 0.0,
        )

    def _read(self, run: str) -> None:
        for number in range(self.plan.readers):
            origin: Origin = "start" if number == 0 else self.rng.choice(("start", "start", "snapshot", "now"))
            reader = Reader(run, self.system.anybody, self.rng, self.calm, Habits(), origin)
            self.readers.append(reader)
            self.tasks.append(asyncio.create_task(reader.run()))

    # What befalls them.

    async def _strike(self, blow: Blow, target: int, gate: Gate) -> None:
        """Strike a server with runs in their midst: none of them can end before."""
        await self.system.is_back(target)
        await self._burst(target, gate.name)
        struck = self.system.servers[target]
        match blow:
            case "kill":
                await self.system.kill(target)
            case "freeze":
                await self.system.freeze(target)
                gate.open()
                return
            case "terminate":
                await self.system.terminate(target)
        self.tasks.append(asyncio.create_task(self._open_when_gone(struck, gate)))

    async def _open_when_gone(self, struck: Server, gate: Gate) -> None:
        await asyncio.to_thread(struck.process.wait, SETTLE_TIMEOUT)
        gate.open()

    async def _settle(self) -> None:
        """Wait for all readers, but not for ever: who hangs is found by the judge."""
        done, _ = await asyncio.wait(self.tasks, timeout=SETTLE_TIMEOUT)
        for task in done:
            task.result()

    # What came of it.

    def _report(self, stories: dict[str, Story]) -> Report:
        facts = read_ledger(self.folder)
        diaries = [reader.diary for reader in self.readers]
        problems = judge(list(self.orders.values()), stories, facts, self.system.fates, diaries)
        ends = [json.loads(story.lines[-1].data) for story in stories.values() if story.lines]
        return Report(
            problems=[problem for problem in problems if problem.kind != "hasty"],
            hasty=sum(problem.kind == "hasty" for problem in problems),
            runs=len(self.orders),
            events=sum(len(diary.lines) for diary in diaries),
            connections=_total(diaries, "connections"),
            leaves=_total(diaries, "leaves"),
            refused=sum(fact.word == "refused" for fact in facts),
            attempts=Counter(end.get("attempt", 0) for end in ends),
            statuses=Counter(end.get("status", "no end") for end in ends),
        )


def _total(diaries: Sequence[Diary], name: str) -> int:
    return sum(getattr(diary, name) for diary in diaries)
