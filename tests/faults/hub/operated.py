"""An engine that several servers keep their topics in, behind a hop that fails as networks do."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engines import Engine
from tests.engines.nats import Nats
from tests.engines.postgres import Postgres
from tests.engines.valkey import Valkey
from unbroken.errors import LogUnavailable
from unbroken.logs import Head, Log, Position
from unbroken.testing import Fault, FaultProxy
from unbroken.testing.logs import Recorder

from .failovers import FailingOver, PostgresPair, ValkeyPair
from .truth import Truth
from .witness import WitnessLog, heads_of, truth_of

__all__ = ["ENGINES", "FAILING_OVER", "Operated"]

ENGINES = ("nats", "postgres", "valkey")
FAILING_OVER = ("postgres with a replica", "valkey with a replica")

IMPATIENT = {"timeout": "2", "heartbeat_interval": "0.5", "heartbeat_timeout": "0.5"}
"""Settings with which faults are found within a test's time."""

END_TIMEOUT = 20.0


class Operated:
    """One engine, what befalls it, and what there was to be read. An asynchronous context manager."""

    def __init__(self, name: str, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.rng = rng
        # Not in the test's own folder: an engine that runs as another user could not reach it.
        self.place = Path(tempfile.mkdtemp(prefix="unbroken-engine-"))
        self.place.chmod(0o755)
        self.engine = _engine(name, self.place, rng)
        self.proxy: FaultProxy | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.engine.start)
        if isinstance(self.engine, Engine):
            self.proxy = await FaultProxy("127.0.0.1", self.engine.port).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.proxy is not None:
            await self.proxy.__aexit__(kind, error, trace)
        await asyncio.to_thread(self.engine.kill)
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def url(self) -> str:
        """What the servers are given."""
        settings = "&".join(f"{name}={value}" for name, value in IMPATIENT.items())
        engine, proxy = self.engine, self.proxy
        url = engine.through(proxy.port) if isinstance(engine, Engine) and proxy is not None else engine.url
        return f"{url}{'&' if '?' in url else '?'}{settings}"

    # What befalls it.

    async def strike(self, name: str) -> None:
        """Do what a blow of this name does."""
        if isinstance(self.engine, FailingOver):
            assert name == "failover"
            await asyncio.to_thread(self.engine.failover)
            return
        assert self.proxy is not None
        match name:
            case "engine kill":
                await asyncio.to_thread(self.engine.restart)
            case "engine freeze":
                await self._freeze(self.engine)
            case "engine restore":
                await self._restore(self.engine)
            case "engine lose":
                await asyncio.to_thread(self.engine.lose)
            case "cut":
                self.proxy.strike(self.rng.choice((Fault.RST, Fault.FIN)))
            case "swallow":
                await _swallow(self.proxy)
            case _:
                raise ValueError(name)

    async def _freeze(self, engine: Engine) -> None:
        engine.freeze()
        await asyncio.sleep(self.rng.uniform(0.2, 2.5))
        engine.thaw()

    async def _restore(self, engine: Engine) -> None:
        """Go back to a copy that was taken a moment ago, as a failover to a replica that lagged does."""
        copy = self.place / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        await asyncio.to_thread(engine.copy, copy)
        await asyncio.sleep(self.rng.uniform(0.3, 1.5))
        await asyncio.to_thread(engine.restore, copy)

    # What there was.

    async def truth(self) -> Truth:
        """Return all that anybody saw, and what became of it, by how it ended."""
        truth = truth_of(self.folder)
        log = WitnessLog(self.engine.url, self.folder)
        await log.start(Recorder())
        try:
            ends = {topic: await _read_through(log, topic) for topic in await log.topics()}
        finally:
            await log.stop()
        truth = truth_of(self.folder)
        self._judge_heads(truth)
        self._judge_epochs(truth, ends)
        return truth

    def _judge_heads(self, truth: Truth) -> None:
        """Count as trimmed what stood before the first event that was kept, at any time that somebody looked."""
        for topic, end, first in heads_of(self.folder):
            for position in truth.path(topic, end):
                place = (topic, position)
                if 0 < position.seq < first:
                    if place in truth.trimmed:
                        break
                    truth.trimmed.add(place)

    def _judge_epochs(self, truth: Truth, ends: dict[str, Position]) -> None:
        """Count as undone what is not behind a topic's end, and as lost each epoch where there were several."""
        epochs: dict[str, set[str]] = {}
        for topic, end, _ in heads_of(self.folder):
            epochs.setdefault(topic, set()).add(end.epoch)
        for topic, position in truth.facts:
            epochs.setdefault(topic, set()).add(position.epoch)
        kept = {(topic, position) for topic, end in ends.items() for position in truth.path(topic, end)}
        truth.undone.update(place for place in truth.facts if place not in kept)
        truth.lost.update((topic, epoch) for topic, several in epochs.items() if len(several) > 1 for epoch in several)


def _engine(name: str, folder: Path, rng: random.Random) -> Engine | FailingOver:
    match name:
        case "valkey":
            return Valkey(folder)
        case "postgres":
            return Postgres(folder)
        case "nats":
            return Nats(folder)
        case "valkey with a replica":
            return ValkeyPair(folder, rng)
        case "postgres with a replica":
            return PostgresPair(folder, rng)
    raise ValueError(name)


async def _swallow(proxy: FaultProxy) -> None:
    """Leave all connections of now open and silent, for longer than a heartbeat waits."""
    struck = [connection for connection in proxy.connections if connection.ended is None]
    for connection in struck:
        connection.strike(Fault.SWALLOW)
    await asyncio.sleep(1.5)
    for connection in struck:
        connection.strike(Fault.RST)


async def _read_through(log: Log, topic: str) -> Position:
    async with asyncio.timeout(END_TIMEOUT):
        while True:
            try:
                return (await _last_head(log, topic)).position
            except LogUnavailable:
                await asyncio.sleep(0.1)


async def _last_head(log: Log, topic: str) -> Head:
    after = 0
    while (page := await log.read(topic, after, 1000)).entries:
        after = page.entries[-1].seq
    return page.head
