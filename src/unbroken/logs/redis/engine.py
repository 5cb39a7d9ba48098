"""How the engine is set up, as far as it says, and what follows from that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unbroken.logs.contract import Guarantees
from unbroken.logs.redis.failures import Lost, Refused
from unbroken.logs.redis.nodes import Call, Nodes
from unbroken.logs.redis.place import Place

__all__ = ["UNKNOWN", "guarantees_of"]

OLDEST = 7
"""Scripts that say what they are (`#!lua`), and sharded publications, came with Redis 7."""

UNKNOWN = Guarantees(
    survives_process=True,
    survives_machine=False,
    shared=True,
    hints_may_be_lost=False,
    can_lose="The newest events, when the engine fails over to a replica, or restarts: as its persistence is set up.",
)

_FAILOVER = "a failover to a replica that had not received them; readers that had them are told of a gap"


async def guarantees_of(nodes: Nodes, place: Place) -> Guarantees:
    """Ask the engine how it is set up, and say what that is worth.

    Raises:
        Lost: it cannot be reached, or is too old.
    """
    await nodes.ready()
    try:
        found = _read(await nodes.run(Call(0, ("INFO",))))
    except Refused:  # an ACL may forbid to ask
        return UNKNOWN
    version = found.get("redis_version", "7")
    if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < OLDEST:
        raise Lost(f"it is version {version}: Redis {OLDEST} or Valkey is needed", sent=False)
    always = found.get("aof_enabled") == "1" and await _fsync(nodes) == "always"
    loses = _loses(found, always=always)
    if place.replicas:
        loses += (
            f"; {place.replicas} replicas have confirmed each event, so that only a failover to none of them loses it"
        )
    return replace(UNKNOWN, survives_machine=always, can_lose=f"{loses}.")


async def _fsync(nodes: Nodes) -> str:
    try:
        reply = await nodes.run(Call(0, ("CONFIG", "GET", "appendfsync")))
    except Refused:  # hosted engines forbid to ask
        return ""
    return str(reply[1].decode()) if reply else ""


def _read(reply: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, mark, value in lines if mark}


def _loses(found: dict[str, str], *, always: bool) -> str:
    policy = found.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and found.get("maxmemory", "0") != "0":
        return f"Anything, at any time: when its memory is full the engine evicts keys (maxmemory-policy {policy})"
    if always:
        return f"The newest events, by {_FAILOVER}"
    if found.get("aof_enabled") == "1":
        return f"About a second of the newest events, when the engine's machine fails; more by {_FAILOVER}"
    return (
        f"What came after the engine's last snapshot, when it restarts: its append-only file is off; or by {_FAILOVER}"
    )
