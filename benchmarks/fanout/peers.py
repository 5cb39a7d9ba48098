"""Who is compared, and what each can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.fanout.tools import AbsentError, floor, module_of_nchan, nginx, node, packages_of_node

__all__ = ["OURS", "OURS_DIRECT", "PEERS", "Peer", "absent"]

Need = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peer:
    """One server; `app` is its name for `python -m benchmarks.fanout.apps`."""

    app: str
    needs: tuple[Need, ...] = ()
    heartbeat: bool = True
    # Whether a client that comes back with its Last-Event-ID gets what it missed.
    resumes: bool = False
    # Whether one POST is one event, so that several go out as several requests.
    apart: bool = False


def _package(*names: str) -> Need:
    def need() -> None:
        for name in names:
            if not find_spec(name):
                raise AbsentError(f"{name} is not installed (pip install -e '.[bench]')")

    return need


def _hub() -> None:
    import unbroken

    if not hasattr(unbroken, "Hub"):
        raise AbsentError("this checkout has no Hub")


def _protocol() -> None:
    import unbroken.servers.uvicorn

    if not hasattr(unbroken.servers.uvicorn, "EventStreamProtocol"):
        raise AbsentError("this checkout has no uvicorn protocol")


OURS = "unbroken Hub (stock uvicorn)"
OURS_DIRECT = "unbroken Hub (its uvicorn protocol)"

PEERS: dict[str, Peer] = {
    OURS: Peer("hub", (_hub,), resumes=True),
    OURS_DIRECT: Peer("hub-protocol", (_hub, _protocol), resumes=True),
    "fastapi.sse": Peer("fastapi.sse", (_package("fastapi.sse"),)),
    "sse-starlette": Peer("sse-starlette", (_package("sse_starlette"),)),
    "Litestar Channels": Peer("litestar", (_package("litestar"),), heartbeat=False),
    "aiohttp-sse": Peer("aiohttp-sse", (_package("aiohttp", "aiohttp_sse"),)),
    "StreamingResponse": Peer("StreamingResponse", heartbeat=False),
    "better-sse": Peer("better-sse", (node, packages_of_node)),
    "nchan": Peer("nchan", (nginx, module_of_nchan), resumes=True, apart=True),
    "bare uvloop": Peer("uvloop", (_package("uvloop"),), heartbeat=False),
    "C epoll": Peer("c-epoll", (floor,), heartbeat=False),
}


def absent(name: str) -> str | None:
    """Give the reason why a peer cannot run here, or None."""
    try:
        for need in PEERS[name].needs:
            need()
    except (AbsentError, ImportError) as reason:
        return str(reason)
    return None
