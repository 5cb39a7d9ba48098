"""What is seen of the bytes of a stream, and by clients that come back."""

from __future__ import annotations

from types import ModuleType

from unbroken.testing import open_stream

from .support import Probe, in_virtual_time

__all__ = ["PROBES"]

PATIENCE = 5


async def forged_events(module: ModuleType) -> str:
    """Say something with an event of another type in it."""
    query = {"text": "hello\n\nevent: logout\ndata: everybody"}
    async with open_stream(module.app, "/stream", query=query) as stream:
        return ", ".join(event.event for event in await stream.until_end())


async def dispatched_events(module: ModuleType) -> str:
    """Read as a browser does."""
    async with open_stream(module.app, "/stream") as stream:
        return ", ".join(event.data for event in await stream.until_end()) or "none"


async def after_a_reconnection(module: ModuleType) -> str:
    """Leave after the third event, and come back with its id."""
    async with open_stream(module.app, "/stream") as stream:
        seen = await stream.events(3)
    async with open_stream(module.app, "/stream", headers={"last-event-id": seen[-1].last_event_id}) as stream:
        return (await stream.next_event()).data


async def requests_of_a_browser(module: ModuleType) -> str:
    """Come back after each end, as `EventSource` does, until the answer is 204."""
    last = ""
    for number in range(1, PATIENCE + 1):
        async with open_stream(module.app, "/stream", headers={"last-event-id": last}) as stream:
            if stream.status == 204:
                return f"{number} requests"
            last = (await stream.until_end())[-1].last_event_id
    return "no end"


PROBES = {
    "field-injection": Probe(in_virtual_time(forged_events), "chat, logout", "chat"),
    "wrong-framing": Probe(in_virtual_time(dispatched_events), "none", "0, 1, 2"),
    "resume-ignored": Probe(in_virtual_time(after_a_reconnection), "line 0", "line 3"),
    "endless-reconnect": Probe(in_virtual_time(requests_of_a_browser), "no end", "2 requests"),
}
