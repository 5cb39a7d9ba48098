"""What is seen when a client leaves."""

from __future__ import annotations

from types import ModuleType

from unbroken.testing import AppStillRunningError, open_stream

from .support import Probe, in_virtual_time

__all__ = ["PROBES"]


async def application_after_the_end(module: ModuleType) -> str:
    """Leave, and see whether the application ends."""
    try:
        async with open_stream(module.app, "/stream") as stream:
            await stream.next_event()
    except AppStillRunningError:
        return "still running"
    return "ended"


async def what_was_caught(module: ModuleType) -> str:
    """Leave, and see whether the `except` ran."""
    await application_after_the_end(module)
    return ", ".join(str(error) for error in module.left) or "nothing"


async def what_is_held(module: ModuleType) -> str:
    """Leave, and see whether the cleanup came to its end."""
    ended = await application_after_the_end(module)
    return f"{ended}, {len(module.connections)} held"


PROBES = {
    "write-after-close": Probe(in_virtual_time(application_after_the_end), "still running", "ended"),
    "except-never-fires": Probe(in_virtual_time(what_was_caught), "nothing", "the client closed the connection"),
    "cleanup-not-run": Probe(in_virtual_time(what_is_held), "ended, 1 held", "ended, 0 held"),
}
