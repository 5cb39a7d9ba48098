"""Drain: when the server shuts down, its streams end in good order, and do not keep it from ending.

How a shutdown is noticed, on each event loop, whichever is first:

* SIGTERM or SIGINT, by a hook over the server's own handlers (`servers.signals`);
* the sockets at which this server listens are closed. All servers do that first, also where there is no signal to
  hear: a worker that is recycled, a server that runs in a thread, hypercorn's worker process;
* `drain()`, by hand.

A stream that opens after that, from a request that was already under way, is ended as
soon as it has begun. Nobody waits for it: clients that keep coming would put the end off
for ever. After a signal or `drain()` that holds for the whole loop, until an application
is started on it; after a server's sockets were closed, until another one listens at the
same place. In a test suite one loop sees many applications, and the end of one is none of
the others'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from unbroken.servers import cuts_at_signal, hook_signals, is_open, listeners, unhook_signals
from unbroken.stream.outlet import Message

__all__ = ["Drain", "Drainable", "Lifespan", "current_drain", "drain"]

Place = Any
"""Where a server listens: a port, or a path."""

LOOK_INTERVAL = 0.2
"""Seconds between two looks at the listening sockets, while streams are open: a system call for each."""


class Drainable(Protocol):
    """A stream that can be told to end."""

    def dismiss(self) -> None:
        """Have it end, in its own time. Called on its loop, once."""
        ...


class Lifespan:
    """One application's life on a loop, as a guard hears of it."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """Somebody who waits for the ends of some streams."""

    streams: set[Drainable]
    afterwards: Callable[[], None]


async def drain() -> int:
    """End all streams of the running event loop as a shutdown does, and wait for their ends.

    Each producer gets `ServerClosing` and has its `drain_grace` for a farewell. Streams that
    open later on this loop are ended at once, and not waited for. For shutdowns that no signal tells of. Not to
    be awaited inside a stream's own generator, which it would wait for.

    Returns:
        How many streams were open.
    """
    current = current_drain()
    count = len(current)
    ended = asyncio.Event()
    current.begin(ended.set)
    await ended.wait()
    return count


class Drain:
    """The streams of one event loop. To be used on that loop only."""

    def __init__(self) -> None:
        self.has_begun = False
        self._streams: dict[Drainable, Place] = {}
        self._told: set[Drainable] = set()
        self._waits: list[_Wait] = []
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[Place, list[tuple[int, str]]] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Drainable, scope: Message, send: Any) -> None:
        """Take a stream in, and see that its server's shutdown is noticed."""
        server = scope.get("server")
        place = server and (server[0] if server[1] is None else server[1])
        self._streams[stream] = place
        if self.has_begun:
            asyncio.get_running_loop().call_soon(self._dismiss, (stream,))
            return
        hook_signals(self.begin, before=cuts_at_signal(send))
        self._watch(place, server)

    def discard(self, stream: Drainable) -> None:
        """Forget a stream that has ended."""
        self._streams.pop(stream, None)
        self._told.discard(stream)
        for wait in self._waits:
            wait.streams.discard(stream)
        self._call_ended()
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def listen(self, lifespan: Lifespan) -> None:
        """Hear the process's signals, for an application that starts. What another one ended here is over then."""
        self.has_begun = self.has_begun and bool(self._streams)
        if hook_signals(self.begin, before=False):
            _listening.add(lifespan)

    async def leave(self, lifespan: Lifespan) -> None:
        """Wait for what the server of an application that shuts down has left open; signals are for those that stay.

        By then every server has closed its sockets: where they are open, or not known, the streams are another's.
        """
        ended = asyncio.Event()
        self._end([*self._told, *self._without_listeners()], ended.set)
        await ended.wait()
        _listening.discard(lifespan)
        if not _listening:
            unhook_signals()

    def begin(self, afterwards: Callable[[], None] | None = None) -> None:
        """End all streams, and call `afterwards` when those that are open now have ended."""
        self.has_begun = True
        self._end(list(self._streams), afterwards or _nothing)

    def _end(self, streams: list[Drainable], afterwards: Callable[[], None]) -> None:
        self._waits.append(_Wait(set(streams), afterwards))
        self._dismiss(streams)
        self._call_ended()

    def _dismiss(self, streams: Iterable[Drainable]) -> None:
        for stream in streams:
            if stream in self._streams and stream not in self._told:
                self._told.add(stream)
                stream.dismiss()

    def _call_ended(self) -> None:
        over = [wait for wait in self._waits if not wait.streams]
        if over:
            self._waits = [wait for wait in self._waits if wait.streams]
        for wait in over:
            wait.afterwards()

    def _watch(self, place: Place, server: Any) -> None:
        """Look after the sockets at which the server of a stream listens."""
        if place not in self._watched:
            self._watched[place] = listeners(server)
        elif self._is_closed(place):
            # Closed for good, if nobody listens there now.
            self._watched[place] = listeners(server) or self._watched[place]
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)

    def _is_closed(self, place: Place) -> bool:
        found = self._watched[place]
        return bool(found) and not any(map(is_open, found))

    def _without_listeners(self) -> list[Drainable]:
        closed = set(filter(self._is_closed, self._watched))
        return [stream for stream, place in self._streams.items() if place in closed] if closed else []

    def _look(self) -> None:
        self._timer = None
        self._dismiss(self._without_listeners())
        if self._streams and not self.has_begun:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)


def _nothing() -> None:
    """Follow a drain that nobody waits for."""


_listening: WeakSet[Lifespan] = WeakSet()
"""Those of this process for which signals are heard. Weak: one that fails to start never shuts down."""

_drains: WeakKeyDictionary[asyncio.AbstractEventLoop, Drain] = WeakKeyDictionary()


def current_drain() -> Drain:
    """Return the drain of the running loop, made at the first call."""
    loop = asyncio.get_running_loop()
    current = _drains.get(loop)
    if current is None:
        current = _drains[loop] = Drain()
    return current
