"""What is seen of what streams hold, and of what they share."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from unbroken.diagnose import Code
from unbroken.testing import DeadlineError, open_stream

from .support import Probe, in_virtual_time, load

__all__ = ["PROBES"]


async def sessions_during_a_stream(module: ModuleType) -> str:
    """Count the sessions that are open while a stream is."""
    async with open_stream(module.app, "/stream") as stream:
        assert (await stream.next_event()).data == "a row"
        return f"{len(module.sessions)} open"


async def memory_of_a_frozen_client(module: ModuleType) -> str:
    """Freeze a client, publish, and see how much is kept for it."""
    async with open_stream(module.app, "/stream", timeout=1000) as stream:
        await stream.until(lambda: bool(module.subscribers))
        [queue] = module.subscribers
        stream.freeze()
        for number in range(10_000):
            module.publish(str(number))
        kept = queue.qsize()
        stream.thaw()
        return "all is kept" if kept == 10_000 else f"{kept} are kept"


def publish_in_another_worker(code: Code) -> str:
    """Stream from one worker and publish in another: two imports of a module share no more than two processes."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVENTS_DB", str(Path(directory, "events.db")))
        return asyncio.run(_heard(load(code), load(code)))


async def _heard(one: ModuleType, other: ModuleType) -> str:
    async with open_stream(one.app, "/stream", timeout=2.0) as stream:
        async with open_stream(other.app, "/publish", method="POST") as answer:
            assert answer.status == 202
        try:
            return (await stream.next_event()).data
        except DeadlineError:
            return "nothing"


PROBES = {
    "dependency-held": Probe(in_virtual_time(sessions_during_a_stream), "1 open", "0 open"),
    "unbounded-queue": Probe(in_virtual_time(memory_of_a_frozen_client), "all is kept", "100 are kept"),
    "workers-without-shared-log": Probe(publish_in_another_worker, "nothing", "an event"),
}
