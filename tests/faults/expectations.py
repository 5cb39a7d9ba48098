"""What each cell of the matrix must show, as data.

`expected()` starts from what the generator and the client's behaviour alone demand, and then applies the
differences that a server makes, each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .clients import ON_THE_SPOT
from .generators import GENERATORS

__all__ = [
    "AT_AWAIT",
    "DIFFERENCES",
    "NOT_TOLD",
    "STAYS",
    "Difference",
    "Expectation",
    "Sights",
    "by_nature",
    "differences_of",
    "expected",
    "options",
]

Sights = tuple[tuple[str, str], ...]
"""The exceptions that reached a generator, in order, each with where it stood."""

AT_YIELD: Sights = (("ClientDisconnected", "yield"),)
AT_AWAIT: Sights = (("CancelledError", "await"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must be observed of one stream."""

    seen: tuple[Sights, ...]
    """Any of these. More than one only where the generator's place at that moment is a race."""
    reason: tuple[str, ...]
    """Any of these; the record has one."""
    entered: int = 1
    """How often `finally` was entered."""
    done: int = 1
    """How often it ran to its end."""
    at_home: bool = True
    """Whether it ran where the generator ran: in the same task, or in a thread."""
    alive: bool = False
    """Whether the generator is left to the garbage collector."""
    cleanup: str = "finished"
    error: tuple[str | None, ...] = (None,)
    resource: str = "unused"
    asgi: str = "returned"
    log: tuple[str, ...] = ()
    """The loggers of the lines above INFO, in order."""
    socket: str = "closed"
    """"closed": by the server, while the client still has its end; "any": the connection may be used again."""

    def differences(self, observed: Mapping[str, Any]) -> list[str]:
        """Say, one sentence each, where `observed` is not as expected."""
        return [
            f"{what}: expected {wanted}, observed {got}"
            for what, wanted, got in self._checks(observed)
            if wanted != got
        ]

    def _checks(self, observed: Mapping[str, Any]) -> list[tuple[str, object, object]]:
        seen = tuple((name, where) for name, where in observed["seen"])
        record = observed["records"][0] if observed["records"] else {"error": None}
        return [
            ("the generator saw", *_one_of(self.seen, seen)),
            ("times `finally` was entered", self.entered, observed["finally_entered"]),
            ("times `finally` ran to its end", self.done, observed["finally_done"]),
            ("`finally` ran where the generator ran", self.at_home, observed["finally_at_home"]),
            ("the resource", self.resource, observed["resource"]),
            ("records", 1, len(observed["records"])),
            ("the close reason", *_one_of(self.reason, record.get("reason"))),
            ("the cleanup", self.cleanup, record.get("cleanup")),
            ("the record's error", *_one_of(self.error, record["error"])),
            ("the application's call", self.asgi, observed["asgi"]),
            ("the generator is alive", self.alive, observed["generator_alive"]),
            ("the server holds the socket", False, observed["socket_open"] and self.socket == "closed"),
            ("loggers above INFO", self.log, tuple(line["logger"] for line in observed["log"])),
        ]


def _one_of(allowed: tuple[object, ...], observed: object) -> tuple[object, object]:
    return (observed if observed in allowed else " or ".join(map(str, allowed))), observed


TOLD_OF_LEAVING: dict[str, Expectation] = {
    "busy": Expectation(seen=(AT_YIELD,), reason=("client_closed",)),
    "sleeping": Expectation(seen=((*AT_AWAIT, ("ClientDisconnected", "scope")),), reason=("client_closed",)),
    # It stands at its yield while an item is being sent, and at its await otherwise.
    "ticking": Expectation(seen=(AT_YIELD, AT_AWAIT), reason=("client_closed",)),
    "queue": Expectation(seen=(AT_AWAIT,), reason=("client_closed",)),
    "sync": Expectation(seen=(AT_YIELD,), reason=("client_closed",)),
    # A thread cannot be interrupted: it is told at its next yield.
    "sync-blocking": Expectation(seen=(AT_YIELD,), reason=("client_closed",)),
    "resources": Expectation(seen=(AT_AWAIT,), reason=("client_closed",), resource="closed"),
    "raising": Expectation(
        seen=(AT_AWAIT,), reason=("client_closed",), cleanup="failed", error=("RuntimeError",), log=("unbroken",)
    ),
}

FILLS_ITS_BUFFERS = ("busy", "ticking", "sync")
"""Generators that send enough for a client's silence to be noticed by a write that does not end."""
STAYS = ("freeze", "never-reads")
"""Behaviours in which the client takes nothing and keeps its connection."""

SEEN_AT_MAX_AGE: dict[str, tuple[Sights, ...]] = {
    "sleeping": ((*AT_AWAIT, ("ServerClosing", "scope")),),
    "queue": (AT_AWAIT,),
    "resources": (AT_AWAIT,),
    "sync-blocking": ((("ServerClosing", "yield"),),),
}


def options(behaviour: str, kind: str) -> dict[str, float]:
    """Return the response's arguments for a cell: the defaults, shortened to what a test can wait for."""
    if behaviour in STAYS and kind in FILLS_ITS_BUFFERS:
        return {"send_timeout": 1.0, "size": 256 * 1024 if kind != "busy" else 1024}
    if behaviour in STAYS:
        return {"max_age": 1.5}
    if behaviour == "pipelined":
        return {"heartbeat": 0.3, "patience": 5.0}
    if behaviour == "vanish":
        return {"dead_peer_timeout": 3.0, "patience": 60.0, "size": 1024}
    return {"size": 1024} if behaviour == "slow" else {"patience": 5.0}


def by_nature(behaviour: str, kind: str) -> Expectation:
    """Return what the protocol demands, whatever the server."""
    told = TOLD_OF_LEAVING[kind]
    if kind == "raising" and behaviour in (*STAYS, "slow"):
        return FAILED_BY_ITSELF
    if behaviour in STAYS and kind in FILLS_ITS_BUFFERS:
        return replace(told, reason=("send_timeout",), seen=(AT_YIELD,))
    if behaviour in STAYS:
        # Heartbeats fit into the buffers of a silent client for hours: only its age can end such a stream,
        # and its connection is in good order then.
        return replace(told, reason=("max_age",), seen=SEEN_AT_MAX_AGE[kind], socket="any")
    return told


FAILED_BY_ITSELF = Expectation(
    seen=((),), reason=("producer_error",), error=("RuntimeError",), asgi="raised RuntimeError", log=("uvicorn.error",)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What some servers make of some cells, and why."""

    servers: tuple[str, ...]
    behaviours: tuple[str, ...] = ON_THE_SPOT
    kinds: tuple[str, ...] = tuple(GENERATORS)
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the expectation that have other values."""
    stray_log: tuple[str, ...] = ()
    """Loggers of lines above INFO that such a cell causes outside the stream's own call."""
    left_tasks: tuple[str, ...] = ()
    """Tasks of the server itself that such a cell leaves for good."""
    because: str

    def concerns(self, server: str, behaviour: str, kind: str) -> bool:
        """Say whether it is about this cell."""
        return server in self.servers and behaviour in self.behaviours and kind in self.kinds


HTTPTOOLS = ("uvicorn-httptools-asyncio", "uvicorn-httptools-uvloop", "gunicorn")
H11 = ("uvicorn-h11-asyncio", "uvicorn-h11-uvloop")
NOT_TOLD = (*STAYS, "slow")

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        servers=HTTPTOOLS,
        behaviours=("pipelined",),
        changes={"reason": ("client_closed", "write_failed")},
        because="uvicorn with httptools tells only the newest request of a connection that it is lost; the stream, "
        "which is older, learns of it from the transport, when it writes or when that is looked at",
    ),
    Difference(
        servers=(*H11, "hypercorn", "granian"),
        behaviours=("pipelined",),
        changes={"reason": ("client_closed", "write_failed")},
        because="with a request waiting behind the stream the server reads no further, and does not see the FIN. "
        "Either a heartbeat is answered by RST and the server tells of it, or a look at the socket comes first",
    ),
    Difference(
        servers=("hypercorn",),
        behaviours=("pipelined",),
        left_tasks=("worker_serve.<locals>._server_callback",),
        because="hypercorn's reader of a connection waits for its stream to end before it takes the next request, "
        "and is not woken where the connection ends first (H11Protocol.can_read); so with StreamingResponse too",
    ),
    Difference(
        servers=("hypercorn",),
        behaviours=("vanish",),
        stray_log=("asyncio",),
        because="hypercorn leaves the kernel's verdict on a vanished client, TimeoutError, to asyncio's stream "
        "protocol, which logs it as unhandled, outside of any response",
    ),
    Difference(
        servers=("hypercorn",),
        behaviours=("vanish",),
        kinds=tuple(kind for kind in GENERATORS if kind != "raising"),
        changes={"reason": ("client_closed", "write_failed"), "error": (None, "TimeoutError")},
        because="a write of hypercorn's that waits when the kernel gives its verdict raises it; the reader tells later",
    ),
    Difference(
        servers=("hypercorn",),
        behaviours=NOT_TOLD,
        kinds=("raising",),
        changes={"log": ("hypercorn.error",)},
        because="each server logs an application's failure under a name of its own",
    ),
    Difference(
        servers=("granian",),
        behaviours=NOT_TOLD,
        kinds=("raising",),
        changes={"log": ("_granian.utils",)},
        because="each server logs an application's failure under a name of its own",
    ),
    Difference(
        servers=("daphne",),
        behaviours=NOT_TOLD,
        kinds=("raising",),
        changes={"log": ()},
        stray_log=("daphne.server",),
        because="daphne finds an application that failed by looking through its tasks once a second, and logs there",
    ),
)


def expected(server: str, behaviour: str, kind: str) -> Expectation:
    """Return what must be observed when `server` streams from `kind` to a client of `behaviour`."""
    expectation = by_nature(behaviour, kind)
    for difference in differences_of(server, behaviour, kind):
        expectation = replace(expectation, **difference.changes)
    return expectation


def differences_of(server: str, behaviour: str, kind: str) -> list[Difference]:
    """Return what the server makes of this cell."""
    return [difference for difference in DIFFERENCES if difference.concerns(server, behaviour, kind)]
