"""Forks with a log that is open, or only made, and prints what came of it in each process.

Run as a file, with `open` or `made`, and a URL.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from unbroken.errors import LogUnavailable
from unbroken.logs import Draft, Log, Retention, open_log
from unbroken.testing.logs import Recorder

CALLS: list[Callable[[Log], Awaitable[object]]] = [
    lambda log: log.append("t", [Draft(b"x")]),
    lambda log: log.read("t", 0, 10),
    lambda log: log.trim("t", Retention()),
    lambda log: log.watch("t"),
]


async def refused(log: Log) -> str:
    """Say how many calls were refused for being in a fork."""
    errors = await asyncio.gather(*(call(log) for call in CALLS), return_exceptions=True)
    await log.stop()
    count = sum(isinstance(error, LogUnavailable) and "is a fork" in str(error) for error in errors)
    return f"refused {count} of {len(CALLS)}"


async def appended(log: Log) -> str:
    """Say where an entry went."""
    return f"appended {(await log.append('t', [Draft(b'x')])).position.seq}"


async def life(log: Log) -> str:
    """Open the log for one entry."""
    await log.start(Recorder())
    try:
        return await appended(log)
    finally:
        await log.stop()


def in_child(work: Callable[[], str]) -> None:
    """Fork, print what the child says, and wait for it."""
    child = os.fork()
    if child == 0:
        print("child", work(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)


def fork_open(log: Log) -> None:
    """Fork while the log is open."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(log.start(Recorder()))
    in_child(lambda: asyncio.run(refused(log)))
    print("parent", loop.run_until_complete(appended(log)))
    loop.run_until_complete(log.stop())
    loop.close()


def fork_made(log: Log) -> None:
    """Fork before the log is opened."""
    in_child(lambda: asyncio.run(life(log)))
    print("parent", asyncio.run(life(log)))


if __name__ == "__main__":
    {"open": fork_open, "made": fork_made}[sys.argv[1]](open_log(sys.argv[2]))
