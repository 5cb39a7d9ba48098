"""Engines with a replica that takes over, and lacks what it had not received: again and again."""

from __future__ import annotations

import random
import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path

from tests.engines.postgres import Postgres
from tests.engines.valkey_groups import Guarded, until

__all__ = ["FailingOver", "PostgresPair", "ValkeyPair"]


class FailingOver(ABC):
    """A primary and a replica."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    @property
    @abstractmethod
    def url(self) -> str:
        """What a hub is given: it finds the primary itself."""

    @abstractmethod
    def start(self) -> None:
        """Start both."""

    @abstractmethod
    def kill(self) -> None:
        """Kill both."""

    @abstractmethod
    def failover(self) -> None:
        """Have the replica lag, kill the primary, have the replica take over, and make a replica of the other."""

    def _lag(self) -> None:
        """Let things be published that are lost."""
        time.sleep(self._rng.uniform(0.0, 0.8))


class ValkeyPair(FailingOver):
    """Valkey under a Sentinel."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(rng)
        self._group = Guarded(folder, down_after=1.5)  # a busy machine is not to look like a dead primary

    @property
    def url(self) -> str:
        return self._group.url

    def start(self) -> None:
        self._group.__enter__()

    def kill(self) -> None:
        self._group.__exit__(None, None, None)

    def failover(self) -> None:
        group = self._group
        group.cut()
        self._lag()
        group.primary.kill()
        until(group.promoted, "the failover")
        address = f"address=127.0.0.1:{group.replica.port}"
        until(lambda: address in group.sentinels[0].ask("INFO", "sentinel"), "its end")
        group.primary, group.replica = group.replica, group.primary
        group.replica.options["replicaof"] = f"127.0.0.1 {group.primary.port}"
        group.replica.start()
        until(lambda: "master_link_status:up" in group.replica.ask("INFO", "replication"), "the new replica")
        until(lambda: all(_knows(sentinel.ask("INFO", "sentinel")) for sentinel in group.sentinels), "the Sentinel")


def _knows(said: str) -> bool:
    return "status=ok" in said and "slaves=1" in said


class PostgresPair(FailingOver):
    """PostgreSQL, with a replica that streams; of several hosts a client takes the one that can be written to."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(rng)
        self._folder = folder
        (folder / "first").mkdir()
        self._primary = Postgres(folder / "first")
        self._replica: Postgres
        self._hosts = ""

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self._hosts}/postgres"

    def start(self) -> None:
        self._primary.start()
        (self._folder / "second").mkdir()
        self._replica = self._primary.replica(self._folder / "second")
        self._replica.start()
        self._hosts = ",".join(f"127.0.0.1:{server.port}" for server in (self._primary, self._replica))

    def kill(self) -> None:
        self._primary.kill()
        self._replica.kill()

    def failover(self) -> None:
        self._replica.kill()
        self._lag()
        self._primary.kill()
        self._replica.start()
        self._replica.promote()
        self._primary, self._replica = self._replica, self._primary
        shutil.rmtree(self._replica.data)
        self._primary.clone(self._replica)
        self._replica.start()
