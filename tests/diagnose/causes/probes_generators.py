"""What is seen of generators that hurt themselves or others."""

from __future__ import annotations

import asyncio
import gc
from types import ModuleType

from unbroken.testing import AppStillRunningError, LoopStarvedError, open_stream

from .probes_leaving import application_after_the_end
from .support import Probe, in_real_time, in_virtual_time

__all__ = ["PROBES"]


async def work_for_nobody(module: ModuleType) -> str:
    """Leave after the first event, and see how far the generator went."""
    await application_after_the_end(module)
    return "went on to its end" if len(module.asked) == 60 else "stopped"


async def turns_of_others(module: ModuleType) -> str:
    """Leave, and see whether the event loop comes round."""
    try:
        async with open_stream(module.app, "/stream") as stream:
            await stream.events(3)
    except LoopStarvedError:
        return "starved"
    return "served"


async def thread_after_the_end(module: ModuleType) -> str:
    """Leave while the generator waits for a message, and see whether its thread comes free without one."""
    module.messages.put("hello")
    async with open_stream(module.app, "/stream") as stream:
        await stream.next_event()
        await stream.disconnect()
        try:
            await stream.wait_closed(timeout=2.0)
        except AppStillRunningError:
            module.messages.put("the one that it waits for")
            return "held"
    return "free"


async def complaints_of_scopes(module: ModuleType) -> str:
    """Have the server cancel the stream while a slow client holds it at its `yield`; see what is raised, and where."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context.get("exception"))))
    async with open_stream(module.app, "/stream", buffer_messages=0, raise_app_errors=False) as stream:
        await stream.next_event()
        stream.freeze()
        await asyncio.sleep(5)
        await stream.cancel()
        await stream.wait_closed()
    gc.collect()
    await asyncio.sleep(1)
    complaints = [str(stream.error), *told]
    return "cancel scopes in disorder" if any("cancel scope" in text for text in complaints) else ", ".join(complaints)


PROBES = {
    "disconnect-swallowed": Probe(in_virtual_time(work_for_nobody), "went on to its end", "stopped"),
    "loop-starved": Probe(in_real_time(turns_of_others), "starved", "served"),
    "thread-held": Probe(in_real_time(thread_after_the_end), "held", "free"),
    "scope-across-yield": Probe(in_virtual_time(complaints_of_scopes), "cancel scopes in disorder", "None"),
}
