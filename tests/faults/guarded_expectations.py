"""What each cell of the matrix must show where another library streams, under the guard, as data.

Of the stream itself the guard answers for everything: its reason, its one record, its socket, its log. What the
generator sees is between it and its library, so that is told here library by library, with the reason. A cell has
several expectations where it is a race at which place its generator stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .cells import Cell
from .clients import ON_THE_SPOT
from .expectations import (
    AT_AWAIT,
    NOT_TOLD,
    STAYS,
    Difference,
    Expectation,
    Sights,
    differences_of,
    expected,
    options,
)
from .generators import BLOCKING, UNSCOPED

__all__ = [
    "CELLS",
    "LIBRARIES",
    "Library",
    "alternatives",
    "differences_from",
    "guarded_differences_of",
    "guarded_options",
    "is_served_by",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What a library lets a generator see of its end."""

    seen: Sights = ()
    entered: int = 0
    done: int = 0
    at_home: bool = True
    alive: bool = False
    because: str

    def applied_to(self, expectation: Expectation) -> Expectation:
        """Return the expectation of a generator that ends so."""
        fields = {name: getattr(self, name) for name in ("entered", "done", "at_home", "alive")}
        return replace(expectation, seen=(self.seen,), **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """How a library ends what it streams from."""

    at_yield: tuple[Manner, ...]
    at_await: tuple[Manner, ...]
    kinds: tuple[str, ...] = UNSCOPED
    in_a_thread: tuple[Manner, ...] = ()
    failing: tuple[Mapping[str, Any], ...] = ({},)
    """What else is expected where the generator fails by itself."""
    failing_because: str = "the error comes out of the application's call, before the end of the body"


AT_YIELD: Sights = (("GeneratorExit", "yield"),)

LEFT_TO_THE_COLLECTOR = Manner(
    alive=True,
    because="nobody closes a generator that stands at its yield: its task is cancelled beside it, and a cycle through "
    "that cancellation keeps it until the collector comes",
)
CANCELLED = Manner(
    seen=AT_AWAIT,
    entered=1,
    because="anyio cancels by level: the first await in `finally` is cancelled again, and the cleanup ends there",
)

ASYNCHRONOUS = tuple(kind for kind in UNSCOPED if kind not in BLOCKING)
"""What a tool of the MCP SDK can stream from: reporting progress awaits."""
AWAITS = ("queue", "resources", "raising")

ANSWERED_BY_THE_SDK: Mapping[str, Any] = {
    "reason": ("completed",),
    "error": (None,),
    "asgi": "returned",
    "socket": "any",
    "alive": False,
    "log": ("mcp.server.mcpserver.server",),
}

LIBRARIES: dict[str, Library] = {
    "starlette": Library(
        at_yield=(LEFT_TO_THE_COLLECTOR,), at_await=(CANCELLED,), in_a_thread=(LEFT_TO_THE_COLLECTOR,)
    ),
    "sse-starlette": Library(
        at_yield=(
            Manner(
                seen=AT_YIELD,
                entered=1,
                done=1,
                alive=True,
                because="it closes the generator in a shield when a send fails or is cancelled, which the guard's is "
                "then; the response and its closures are a cycle that holds the generator",
            ),
        ),
        at_await=(
            replace(CANCELLED, alive=True, because=CANCELLED.because + "; the response and its closures are a cycle"),
        ),
        in_a_thread=(
            Manner(
                seen=AT_YIELD,
                entered=1,
                done=1,
                at_home=False,
                because="it closes the asynchronous wrapper when a send is cancelled, and so frees the synchronous "
                "generator, whose `finally` so runs on the event loop's thread",
            ),
            Manner(
                seen=AT_YIELD,
                entered=1,
                done=1,
                because="the same, where the worker's thread is the last that knows of the generator",
            ),
            replace(LEFT_TO_THE_COLLECTOR, because="cancelled before it sends, it closes nothing"),
        ),
    ),
    "fastapi": Library(
        at_yield=(LEFT_TO_THE_COLLECTOR,),
        at_await=(
            CANCELLED,
            replace(
                CANCELLED,
                alive=True,
                because="the generator has a task of its own, and awaits while FastAPI sends: the exception of a "
                "`send` that fails then leads round through the frames of both tasks",
            ),
        ),
        in_a_thread=(LEFT_TO_THE_COLLECTOR,),
        failing=(
            {"reason": ("completed",), "error": (None,), "asgi": "raised ExceptionGroup", "socket": "any"},
            {"reason": ("producer_error",), "error": ("ExceptionGroup",), "asgi": "raised ExceptionGroup"},
        ),
        failing_because="the generator runs in a task of its own: its end is the end of the body, and its error comes "
        "out of the application's call afterwards, unless that is cancelled first",
    ),
    # The SDK serves each era of the protocol by code of its own.
    "mcp-2025": Library(
        # Not busy: once the SDK has closed what carries its messages, `report_progress` waits for nothing any more. A
        # tool that awaits nothing else, and is not cancelled before, has the loop for good.
        kinds=tuple(kind for kind in ASYNCHRONOUS if kind != "busy"),
        at_yield=(
            Manner(
                seen=AT_YIELD,
                entered=1,
                because="the tool closes its generator, in a scope that anyio has cancelled by level: so `finally` is "
                "entered, and its first await is cancelled",
            ),
        ),
        at_await=(CANCELLED,),
        failing=(ANSWERED_BY_THE_SDK,),
        failing_because="a tool that fails is answered by an error result, and logged by the SDK",
    ),
    "mcp-2026": Library(
        kinds=ASYNCHRONOUS,
        at_yield=(
            Manner(
                seen=AT_YIELD,
                entered=1,
                because="the tool closes its generator, in a scope that anyio has cancelled by level: so `finally` is "
                "entered, and its first await is cancelled",
            ),
        ),
        at_await=(CANCELLED,),
        failing=(ANSWERED_BY_THE_SDK,),
        failing_because="a tool that fails is answered by an error result, and logged by the SDK",
    ),
}

ANSWERS_FAILURES = ("mcp-2025", "mcp-2026")
FAILS_BY_ITSELF = (*STAYS, "slow")

CELLS = tuple(
    Cell(behaviour, kind, library)
    for library in LIBRARIES
    for behaviour in ON_THE_SPOT
    for kind in LIBRARIES[library].kinds
)


def is_served_by(server: str, cell: Cell) -> bool:
    """Say whether a server can serve it: daphne has no lifespan, and the MCP server's tasks live in that."""
    return server != "daphne" or cell.library not in ANSWERS_FAILURES


def guarded_options(cell: Cell) -> Mapping[str, object]:
    """Return the guard's arguments for a cell."""
    if cell.kind == "raising" and cell.behaviour in STAYS:
        return {}  # it ends by itself
    return options(cell.behaviour, cell.kind)


def alternatives(server: str, cell: Cell) -> tuple[Expectation, ...]:
    """Return what may be observed; one of these must be."""
    assert cell.library is not None
    library, plain = LIBRARIES[cell.library], expected(server, cell.behaviour, cell.kind)
    if cell.kind == "raising" and cell.behaviour in FAILS_BY_ITSELF:
        # Its own traceback and the exception in its frame are a cycle.
        return tuple(replace(plain, **{"alive": True, **changes}) for changes in library.failing)
    plain = replace(plain, cleanup="finished", error=(None,), log=())
    return tuple(dict.fromkeys(_standing_so(plain, cell, manner) for manner in _manners(library, cell)))


def _manners(library: Library, cell: Cell) -> tuple[Manner, ...]:
    if cell.kind in BLOCKING:
        return library.in_a_thread
    if cell.kind in AWAITS:
        return library.at_await
    return library.at_yield if cell.kind == "busy" else (*library.at_yield, *library.at_await)


def _standing_so(plain: Expectation, cell: Cell, manner: Manner) -> Expectation:
    expectation = manner.applied_to(plain)
    if cell.kind == "resources":
        return replace(expectation, resource="open")  # its release awaits, and is cancelled
    if cell.kind == "raising":
        return replace(expectation, alive=True)  # by the cycle of its own exceptions
    return expectation


def differences_from(server: str, cell: Cell, observed: Mapping[str, Any]) -> list[str]:
    """Say where `observed` differs from the nearest of the expectations."""
    found = [expectation.differences(observed) for expectation in alternatives(server, cell)]
    return min(found, key=len)


def guarded_differences_of(server: str, cell: Cell) -> list[Difference]:
    """Return what the server makes of this cell beside the stream; nothing of a failure that the library answers."""
    differences = differences_of(server, cell.behaviour, cell.kind)
    fails = cell.kind == "raising" and cell.behaviour in NOT_TOLD
    return [] if cell.library in ANSWERS_FAILURES and fails else differences
