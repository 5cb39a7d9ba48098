"""Several Valkey servers: a primary with a replica and Sentinels that watch over both, and a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from .engine import free_port
from .valkey import Valkey

__all__ = ["Cluster", "Guarded", "Sentinel", "until"]

MASTER = "main"
SLOTS = 16384


class Sentinel(Valkey):
    """A server that watches over a primary and its replicas."""

    def __init__(self, folder: Path, primary: Valkey, *, quorum: int, down_after: float) -> None:
        super().__init__(folder)
        self.primary = primary
        self.quorum = quorum
        self.down_after = down_after

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{MASTER}"

    def prepare(self) -> None:
        super().prepare()
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor {MASTER} 127.0.0.1 {self.primary.port} {self.quorum}",
            f"sentinel down-after-milliseconds {MASTER} {self.down_after * 1000:.0f}",
            f"sentinel failover-timeout {MASTER} 2000",
        )
        (self.data / "sentinel.conf").write_text("\n".join(lines))

    def command(self) -> list[str]:
        return [super().command()[0], str(self.data / "sentinel.conf"), "--sentinel"]


class Guarded:
    """A primary, a replica, and Sentinels. A context manager: ready at the beginning, killed at the end."""

    def __init__(self, folder: Path, *, sentinels: int = 1, down_after: float = 0.3) -> None:
        for name in ("primary", "replica", *(f"sentinel{number}" for number in range(sentinels))):
            (folder / name).mkdir(parents=True)
        # By default a primary waits for more replicas to come before it sends its data.
        self.primary = Valkey(folder / "primary", repl_diskless_sync_delay=0)
        self.replica = Valkey(
            folder / "replica", replicaof=f"127.0.0.1 {self.primary.port}", repl_diskless_sync_delay=0
        )
        quorum = sentinels // 2 + 1
        self.sentinels = [
            Sentinel(folder / f"sentinel{number}", self.primary, quorum=quorum, down_after=down_after)
            for number in range(sentinels)
        ]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER}"

    def promoted(self) -> bool:
        """Whether the replica has become the primary."""
        return "role:master" in self.replica.ask("INFO", "replication")

    def has_all(self) -> bool:
        """Whether the replica has all that was written."""
        offset = self.primary.ask("INFO", "replication").partition("master_repl_offset:")[2].split()[0]
        return f"slave_repl_offset:{offset}" in self.replica.ask("INFO", "replication")

    def cut(self) -> None:
        """Part the replica from its primary: what is written from now on, it does not have."""
        self.primary.ask("ACL", "SETUSER", "default", "-psync", "-sync")
        self.primary.ask("CLIENT", "KILL", "TYPE", "replica")

    def synchronous(self) -> bool:
        """Whether the replica follows the primary, and the Sentinels know it."""
        follows = "master_link_status:up" in self.replica.ask("INFO", "replication")
        return follows and all("slaves=1" in sentinel.ask("INFO", "sentinel") for sentinel in self.sentinels)

    def __enter__(self) -> Self:
        for engine in (self.primary, self.replica, *self.sentinels):
            engine.start()
        until(self.synchronous, "the replica")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in (*self.sentinels, self.replica, self.primary):
            engine.kill()


class Cluster:
    """Primaries that share the slots, and as many replicas as asked for, of the first ones."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: int = 0, node_timeout: float = 0.5) -> None:
        options: dict[str, str | int] = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": int(node_timeout * 1000),
            "cluster_require_full_coverage": "no",
            "repl_diskless_sync_delay": 0,
            # A replica that was cut off from its primary for however short a time may still be elected.
            "cluster_replica_validity_factor": 0,
        }
        count = primaries + replicas
        for number in range(count):
            (folder / f"node{number}").mkdir(parents=True)
        # The port of the bus is by default the other one plus 10000, which may be none.
        self.nodes = [_node(folder / f"node{number}", options) for number in range(count)]
        self.primaries = primaries

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[: self.primaries])

    def settle(self) -> None:
        """Wait until all nodes find all well."""
        until(lambda: all(self._ready(node) for node in self.nodes), "the cluster")

    def names(self) -> list[str]:
        """Return the names that the nodes have among themselves."""
        return [node.ask("CLUSTER", "MYID") for node in self.nodes]

    def owner(self, slot: int) -> int:
        """Return the number of the primary that was given a slot."""
        return slot * self.primaries // SLOTS

    def move(self, slot: int, source: Valkey, target: Valkey) -> None:
        """Give a slot, with all its keys, to another node while others use it."""
        names = dict(zip((node.port for node in self.nodes), self.names(), strict=True))
        target.ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", names[source.port])
        source.ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", names[target.port])
        while keys := source.lines("CLUSTER", "GETKEYSINSLOT", str(slot), "100"):
            source.ask("MIGRATE", "127.0.0.1", str(target.port), "", "0", "5000", "KEYS", *keys)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", str(slot), "NODE", names[target.port])

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.start()
        first, others = self.nodes[0], self.nodes[1:]
        for number, node in enumerate(self.nodes[: self.primaries]):
            bounds = [-(-SLOTS * end // self.primaries) for end in (number, number + 1)]
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(bounds[0]), str(bounds[1] - 1))
        for node in others:
            port = str(node.options["cluster_port"])
            first.ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), port)
        known = f"cluster_known_nodes:{len(self.nodes)}"
        until(lambda: all(known in node.ask("CLUSTER", "INFO") for node in self.nodes), "the meeting")
        names = self.names()
        for number, node in enumerate(self.nodes[self.primaries :]):
            until(lambda node=node, name=names[number]: node.ask("CLUSTER", "REPLICATE", name) == "+OK", "a replica")  # type: ignore[misc]
        self.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.kill()

    def _ready(self, node: Valkey) -> bool:
        told = node.ask("CLUSTER", "INFO")
        whole = "cluster_state:ok" in told and f"cluster_slots_ok:{SLOTS}" in told
        replication = node.ask("INFO", "replication")
        return whole and ("role:master" in replication or "master_link_status:up" in replication)


def _node(folder: Path, options: dict[str, str | int]) -> Valkey:
    return Valkey(folder, persistent=True, **options, cluster_port=free_port())


def until(condition: Callable[[], bool], awaited: str, timeout: float = 20.0) -> None:
    """Wait until it holds.

    Raises:
        RuntimeError: it did not in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{awaited} did not come about within {timeout} s")
        time.sleep(0.02)
