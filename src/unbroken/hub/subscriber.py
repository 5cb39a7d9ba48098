"""One response among those that read topics: it reads on until it is current, then it is live in a feed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from unbroken.errors import CloseReason, LogUnavailable
from unbroken.hub.beginning import Beginning, Resume, begin
from unbroken.hub.direct import DirectSend
from unbroken.hub.engine import Engine
from unbroken.hub.exchange import HubExchange
from unbroken.hub.feed import AWAY, Feed, Mileage
from unbroken.hub.gap import Gap
from unbroken.hub.numbering import Item, Numbering, Vector
from unbroken.hub.overflow import Overrun, read_behind
from unbroken.hub.reader import Reader
from unbroken.hub.reading import Reading
from unbroken.servers import DirectConnection
from unbroken.stream.exchange import GONE
from unbroken.stream.outlet import Message
from unbroken.stream.stepping import Trap

__all__ = ["Subscriber"]

T = TypeVar("T")

RETRY_INTERVAL = 1.0
"""Seconds between two looks at a log that is away, give or take half."""

SLOW_WRITE = 0.1
"""Seconds a write may wait before its client counts as slow, for `overflow`."""

NOTHING = Mileage((), 0, 0, 0)


class Subscriber:
    """Writes one response: the producer of its exchange, and a member of a feed. On the hub's loop only.

    Two states. Behind: the exchange's pump runs `run`, which reads from the topics or the log and
    waits for the client as long as it likes. Live: nothing runs, and the feed's flush writes. It
    goes live when it has read everything, in the same step of the loop; it falls behind when
    a write has to wait, when the topic's history breaks, or, if it wants something else than the
    others (a filter, a server whose writes always wait), with each flush.
    """

    __slots__ = ("_base", "_direct_send", "_feed", "_fell_behind", "_is_asking", "_joined_at", "_numbering", "_reader",
                 "_reading", "_rest", "_start", "_task", "_told", "_was_live", "detaches", "direct", "engine",
                 "exchange", "mark", "send", "user", "write")  # fmt: skip

    def __init__(
        self, engine: Engine, numbering: Numbering, reading: Reading, start: Beginning, exchange: HubExchange
    ) -> None:
        self.exchange = exchange
        self.mark = AWAY
        self.send: Callable[[Message], Coroutine[Any, Any, None]] | None = None
        self.write: Callable[[bytes], object] | None = None
        self.direct: DirectConnection | None = None
        """The connection underneath, where the server lets it be written to."""
        self.detaches = False
        """Whether the server's task is to end once the stream is live."""
        self.user: object = None
        self.engine = engine
        self._numbering = numbering
        self._reading = reading
        self._start: Beginning | None = start
        self._reader: Reader | None = None
        self._direct_send: DirectSend | None = None
        self._feed: Feed | None = None
        self._base = NOTHING
        self._rest: Awaitable[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._told: Vector = ()
        self._is_asking = self._fell_behind = self._was_live = False
        self._joined_at = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The topics that are read."""
        return self._numbering.names

    @property
    def is_open(self) -> bool:
        """Whether the stream has not begun to end."""
        return self in self.engine.subscribers and self.exchange.reason is None

    @property
    def is_live(self) -> bool:
        """Whether a feed writes."""
        return self._feed is not None

    @property
    def share(self) -> Mileage:
        """What the feed has written for this one so far."""
        if self._feed is None or not self._is_uniform:
            return NOTHING
        had, base = self._feed.had_by(self), self._base
        return Mileage(had.vector, had.events - base.events, had.bytes - base.bytes, had.heartbeats - base.heartbeats)

    @property
    def last_write(self) -> float:
        """The moment of the feed's last byte to this one, by the loop's clock; 0 without."""
        if self._feed is None or not self._is_uniform or self._feed.last_write < self._joined_at:
            return 0.0
        return self._feed.last_write

    @property
    def longest_silence(self) -> float:
        """The longest time without a byte of the feed's to this one so far, as far as it can be told, in seconds."""
        if self._feed is None or not self._is_uniform:
            return 0.0
        return min(self._feed.longest_silence, self.engine.loop.time() - self._joined_at)

    # Behind: the pump's task.

    async def run(self) -> None:
        """Read on until current, then go live and return; or until the stream ends."""
        self._task = asyncio.current_task()
        try:
            await self._finish_write()
            if self._reader is None:
                await self._open()
            while self.exchange.reason is None:
                if self.direct is not None and self.direct.paused:
                    await self._send(b"", 0)  # waits for room, as long as `send_timeout` lets it
                if self._go_live():
                    return
                await self._read_on()
        except Overrun:
            self.exchange.close(CloseReason.LIMIT)
        finally:
            self._task = None

    async def _finish_write(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            await rest

    async def _open(self) -> None:
        resume = await self._ask(self._begin)
        if resume is None or self._reader is None:
            return
        if resume.is_over:
            self.exchange.decline()
            return
        self.exchange.announce(resume.header)
        await self._send(self._numbering.prime(resume.vector), 0)
        self._told = resume.vector or ()
        self._attach()
        await self._write(resume.items, resume.vector or self._reader.vector)

    async def _begin(self) -> Resume:
        reader = await self.engine.open_reader(self._numbering, self._reading.on_gap)
        try:
            assert self._start is not None
            resume = await begin(reader, self._start)
        except BaseException:
            self.engine.topics.release(reader.topics)
            raise
        self._reader, self._start = reader, None
        self.engine.counters.resumes[resume.header.partition(";")[0]] += 1
        return resume

    async def _read_on(self) -> None:
        assert self._reader is not None
        vector = self._reader.vector
        items = await self._ask(self._read)
        if items:
            await self._write(items, vector)

    async def _read(self) -> Sequence[Item]:
        assert self._reader is not None
        if self._fell_behind:
            return await read_behind(self._reader, self._reading, self.engine.counters)
        return await self._reader.read()

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Ask the log until it answers; None when the stream ends first. Heartbeats go on meanwhile."""
        self._is_asking = True
        reach = self.engine.topics.reach
        try:
            while self.exchange.reason is None:
                try:
                    answer = await question()
                    reach.regain()
                    return answer
                except LogUnavailable as exc:
                    reach.lose(str(exc))
                    await asyncio.sleep(RETRY_INTERVAL * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        finally:
            self._is_asking = False
        return None

    async def _write(self, items: Sequence[Item], vector: Vector) -> None:
        """Write what was read on from `vector`."""
        wanted = [item for item in items if isinstance(item, Gap) or self._reading.passes(item)]
        frames, told = self._numbering.frames(wanted, vector)
        if frames:
            self._told = told
            await self._send(b"".join(frames), len(frames))
        if self._reading.on_gap == "close" and any(isinstance(item, Gap) for item in items):
            # A browser comes back by itself: behind the gap, or it would meet the same one for ever.
            assert self._reader is not None
            await self._send(self._numbering.prime(self._reader.vector), 0)
            self.exchange.close(CloseReason.LIMIT)

    def heartbeat_now(self) -> bytes:
        """Return a heartbeat; where events were passed over, behind a block that says how far the reader has come."""
        heartbeat = self.exchange.options.heartbeat_now()
        if self._reader is None or self._is_uniform or self._reader.vector == self._told:
            return heartbeat
        self._told = self._reader.vector
        return self._numbering.prime(self._told) + heartbeat

    async def _send(self, body: bytes, events: int) -> None:
        rest = self.exchange.write_items(body, events)
        if rest is not None:
            began = self.engine.loop.time()
            await rest
            # Some servers hand every write on, so that it waits a moment: that alone is nobody's slowness.
            self._fell_behind = self._fell_behind or (self._was_live and self.engine.loop.time() - began > SLOW_WRITE)

    # Live: a feed's flush, and whoever tells of the connection.

    def _go_live(self) -> bool:
        """Join a feed if everything was read; in one step, in which no topic can move."""
        reader = self._reader
        if reader is None or not reader.is_current():
            return False
        if reader.is_over():
            self.exchange.close(CloseReason.COMPLETED)
            return True
        self._feed = self.engine.feed_of(reader, self.exchange.options)
        self._base = self._feed.join(self)
        self._joined_at = self.engine.loop.time()
        self._fell_behind, self._was_live = False, True
        self.exchange.beats = not self._is_uniform
        if self.detaches and self.direct is not None and self._direct_send is not None:
            self.detaches = False
            self.exchange.detached = True
            self.direct.detach()
        return True

    def _leave_feed(self) -> None:
        """Count what the feed has written, and be behind from there."""
        feed, share, exchange = self._feed, self.share, self.exchange
        assert feed is not None
        assert self._reader is not None
        outlet = exchange.outlet
        outlet.longest_silence = max(outlet.longest_silence, self.longest_silence)
        outlet.last_write = max(outlet.last_write, self.last_write)
        outlet.sent_bytes += share.bytes
        had = feed.leave(self)
        self._feed = None
        exchange.events += share.events
        exchange.heartbeats += share.heartbeats
        exchange.beats = True
        self.engine.give_back(feed, exchange.options)
        if self._is_uniform:  # the others were woken to read for themselves
            self._reader.vector = had.vector

    @property
    def _is_uniform(self) -> bool:
        """Whether it gets what all others do, from the flush itself."""
        return self.send is not None or self.write is not None

    def _fall_behind(self) -> None:
        self._leave_feed()
        self._fell_behind = True
        self.engine.counters.demotions += 1
        self.exchange.start_pump()
        self.exchange.deadlines.look_again()

    def wait_for(self, message: Message, step: Coroutine[Any, Any, None], trap: Trap) -> None:
        """Go on with a `send` that has suspended, in the pump; what comes meanwhile is in the log."""
        self._rest = self.exchange.outlet.adopt(step, trap)
        self._fall_behind()

    def failed(self, error: BaseException) -> None:
        """Take an exception of the server's for the loss of the connection."""
        self.exchange.write_failed(error)

    def wake(self) -> None:
        """Read on, if there is anything. Heartbeats are its own deadlines': what it gets is not what the others get."""
        if self._reader is not None and not self._reader.is_current():
            self._leave_feed()
            self.exchange.start_pump()

    def break_off(self) -> None:
        """Look at the log: what comes next is too much for a flush, or does not follow on what came last."""
        self._fall_behind()
        self._fell_behind = False  # which is not this client's doing, so its `overflow` is no matter

    def is_alive(self) -> bool:
        """Whether the connection is there."""
        return self.exchange.connection.is_alive()

    def close(self, reason: CloseReason) -> None:
        """End the stream."""
        self.exchange.close(reason)
        if reason is CloseReason.WRITE_FAILED:
            self.exchange.connection.abort()

    def _attach(self) -> None:
        """Write past ASGI from now on, where the server and all middlewares let us."""
        direct = self.direct
        if direct is None or not direct.attach(self):
            self.direct, self.detaches = None, False
            return
        self.write, self.send = direct.write, None  # which would hold the whole request
        self._direct_send = DirectSend(direct)
        self.exchange.connection = direct
        self.exchange.outlet.use(self._direct_send, direct)

    def on_paused(self) -> None:
        """Write no more until there is room."""
        if self._feed is not None:
            self._fall_behind()

    def on_resumed(self) -> None:
        """There is room."""
        if self._direct_send is not None:
            self._direct_send.resume()

    def on_lost(self) -> None:
        """The connection is gone."""
        self.on_resumed()
        if self in self.engine.subscribers:  # else its stream has ended, and the rest of it was on its way
            self.exchange.close(CloseReason.CLIENT_CLOSED)
        self.write = None

    # The end, by the exchange.

    def interrupt(self) -> None:
        """Stop: the stream has ended, for the exchange's reason. What remains to be written is for the pump."""
        if self._feed is not None:
            self._leave_feed()
            if self.exchange.reason in GONE:
                self.exchange.end()  # nothing can be written, so no task need be made for it
            else:
                self.exchange.start_pump()
        elif self._is_asking:
            self.kill()

    def kill(self) -> None:
        """Stop now."""
        if self._task is not None:
            self._task.cancel()

    def retire(self) -> None:
        """Let go of the topics, and of the exchange, which would wait with this one for the garbage collector."""
        self.engine.subscribers.discard(self)
        if self._reader is not None:
            self.engine.topics.release(self._reader.topics)
            self._reader = None
        del self.exchange
