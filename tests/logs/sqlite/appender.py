"""Appends to a topic from a process of its own, and prints the `seq` of each append that was acknowledged.

Run as a file, with a URL, a count and the size of a payload; 0 appends until it is killed. `limit=N` as the
last argument lets no file grow beyond N bytes, which to SQLite is a full disk.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import signal
import sys
from collections.abc import Collection, Sequence

from unbroken.errors import LogUnavailable
from unbroken.logs import Draft, Entry, open_log


class Silent:
    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        pass

    def on_doubt(self, topics: Collection[str] | None) -> None:
        pass

    def on_trouble(self, why: str | None) -> None:
        pass


async def append(url: str, count: int, size: int) -> None:
    """Append batches of two, until one fails."""
    log = open_log(url)
    await log.start(Silent())
    for _ in range(count) if count else itertools.count():
        try:
            appended = await log.append("t", [Draft(b"x" * size)] * 2)
        except LogUnavailable as error:
            print("unavailable", error, flush=True)
            break
        print(appended.position.seq, flush=True)
    await log.stop()


if __name__ == "__main__":
    if sys.argv[4:]:
        limit = int(sys.argv[4].removeprefix("limit="))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails, instead of the process
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    asyncio.run(append(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
