"""What is seen of streams that fail."""

from __future__ import annotations

from types import ModuleType

from unbroken.diagnose import Code
from unbroken.testing import open_stream

from .support import Probe, in_virtual_time, load

__all__ = ["PROBES"]


async def events_and_end(module: ModuleType) -> str:
    """Read to the end, and name the types of the events and the end."""
    async with open_stream(module.app, "/stream", raise_app_errors=False) as stream:
        types = [event.event for event in await stream.until_end()]
        return f"{', '.join(types)}; {stream.ended}"


async def status(module: ModuleType) -> str:
    """Ask for what is not there."""
    async with open_stream(module.app, "/stream", query="job=2", raise_app_errors=False) as stream:
        return str(stream.status)


async def first_event(module: ModuleType) -> str:
    """Read an event."""
    async with open_stream(module.app, "/stream") as stream:
        return (await stream.next_event()).data


def start(code: Code) -> str:
    """Import the application and read an event."""
    try:
        load(code)
    except ImportError as error:
        return type(error).__name__
    return in_virtual_time(first_event)(code)


PROBES = {
    "producer-failed": Probe(in_virtual_time(events_and_end), "message; truncated", "message, stream-error; truncated"),
    "middleware-breaks-stream": Probe(
        in_virtual_time(events_and_end), "message; complete", "message, stream-error; truncated"
    ),
    "status-after-start": Probe(in_virtual_time(status), "200", "404"),
    "import-does-not-exist": Probe(start, "ImportError", "hello"),
}
