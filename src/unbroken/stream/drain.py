"""Drain: when the server shuts down, its streams end in good order, and do not keep it from ending.

How a shutdown is noticed, on each event loop, whichever is first:

* SIGTERM or SIGINT, by a hook over the server's own handlers (`servers.signals`);
* the sockets at which this server listens are closed. All servers do that first, also where there is no signal to
  hear: a worker that is recycled, a server that runs in a thread, hypercorn's worker process;
* `drain()`, by hand.

From then on the loop is draining for good: a stream that opens now, from a request
that was already under way, is ended as soon as it has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from unbroken.servers import cuts_at_signal, hook_signals, is_open, listeners
from unbroken.stream.outlet import Message

__all__ = ["Drain", "Drainable", "current_drain", "drain"]

LOOK_INTERVAL = 0.2
"""Seconds between two looks at the listening sockets, while streams are open: a system call for each."""


class Drainable(Protocol):
    """A stream that can be told to end."""

    def dismiss(self) -> None:
        """Have it end, in its own time. Called on its loop, once."""
        ...


async def drain() -> int:
    """End all streams of the running event loop as a shutdown does, and wait for their ends.

    Each producer gets `ServerClosing` and has its `drain_grace` for a farewell. Streams that
    open later on this loop are ended at once. For shutdowns that no signal tells of. Not to
    be awaited inside a stream's own generator, which it would wait for.

    Returns:
        How many streams were open.
    """
    current = current_drain()
    count = len(current)
    ended = asyncio.get_running_loop().create_future()
    current.begin(lambda: None if ended.done() else ended.set_result(None))
    await ended
    return count


class Drain:
    """The streams of one event loop. To be used on that loop only."""

    def __init__(self) -> None:
        self.has_begun = False
        self._streams: set[Drainable] = set()
        self._afterwards: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[Any, list[tuple[int, str]]] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Drainable, scope: Message, send: Any) -> None:
        """Take a stream in, and see that its server's shutdown is noticed."""
        self._streams.add(stream)
        if self.has_begun:
            asyncio.get_running_loop().call_soon(self._dismiss, stream)
            return
        self.listen(before=cuts_at_signal(send))
        self._watch(scope.get("server"))

    def discard(self, stream: Drainable) -> None:
        """Forget a stream that has ended."""
        self._streams.discard(stream)
        if not self._streams:
            self._all_ended()

    def listen(self, *, before: bool = False) -> None:
        """Hear the process's signals."""
        if not self.has_begun:
            hook_signals(self._on_signal, before=before)

    def begin(self, afterwards: Callable[[], None] | None = None) -> None:
        """End all streams, and call `afterwards` when they have ended."""
        if afterwards is not None:
            self._afterwards.append(afterwards)
        if not self.has_begun:
            self.has_begun = True
            for stream in list(self._streams):
                stream.dismiss()
        if not self._streams:
            self._all_ended()

    def _on_signal(self, pass_on: Callable[[], None] | None) -> None:
        self.begin(pass_on)

    def _dismiss(self, stream: Drainable) -> None:
        if stream in self._streams:
            stream.dismiss()

    def _all_ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        afterwards, self._afterwards = self._afterwards, []
        for call in afterwards:
            call()

    def _watch(self, server: Any) -> None:
        """Look after the sockets at which the server of a stream listens."""
        place = server and (server[0] if server[1] is None else server[1])
        if place not in self._watched:
            self._watched[place] = listeners(server)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = None
        for found in list(self._watched.values()):
            if found and not any(map(is_open, found)):
                self.begin()
        if self._streams and not self.has_begun:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)


_drains: WeakKeyDictionary[asyncio.AbstractEventLoop, Drain] = WeakKeyDictionary()


def current_drain() -> Drain:
    """Return the drain of the running loop, made at the first call."""
    loop = asyncio.get_running_loop()
    current = _drains.get(loop)
    if current is None:
        current = _drains[loop] = Drain()
    return current
