"""Fan-out: one encoded body for all who are live on the same topics.

A member that is live holds nothing and waits for nothing. Publishing leaves a frame with the
feed; the flush, at the loop's next turn, joins what has come meanwhile to one body and
steps each member's `send` itself. On most servers that is all of a delivery: no queue, no
wake-up, no task. Where the server makes the write wait, or always hands it to another
task, the member leaves the feed and reads on by itself (`Subscriber`), until it is current again.

Each body has a number, and each member the mark of the last one that it has had, in whatever way.
A member that joins while frames are waiting has read those already, and wants those that come after
them: so what waits then becomes a body of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, Protocol

from unbroken.errors import CloseReason
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.numbering import Numbering, Vector
from unbroken.hub.topic import Topic
from unbroken.servers import frame_chunk
from unbroken.stream.outlet import Message
from unbroken.stream.stepping import Trap
from unbroken.stream.wheel import current_wheel

__all__ = ["AWAY", "Feed", "Flusher", "Member", "Mileage"]

AWAY = 2**62
"""The mark of a member that is not in the feed: above the number of any flush."""

SLICE = 256
"""Deliveries between two turns of the loop: about a millisecond."""

MAX_WAITING_BYTES = 1024 * 1024
"""What may wait for the next flush."""

LOOK_INTERVAL = 15.0
"""Seconds between two looks at the sockets of all members."""


class Member(Protocol):
    """Who is live in a feed. One of `send`, `write` is what a flush calls; with neither it is woken."""

    mark: int
    """The number of the last body that it has had."""
    send: Callable[[Message], Coroutine[Any, Any, None]] | None
    """The server's own, which most often need not wait."""
    write: Callable[[bytes], object] | None
    """Takes a body in chunked transfer coding, straight to the transport."""

    def wait_for(self, message: Message, step: Coroutine[Any, Any, None], trap: Trap) -> None:
        """A `send` has suspended: leave the feed, and go on with it."""
        ...

    def failed(self, error: BaseException) -> None:
        """A `send` or `write` has raised."""
        ...

    def wake(self) -> None:
        """Read on, if there is anything: a body was made for those who need not be woken."""
        ...

    def break_off(self) -> None:
        """Leave the feed and look at the log."""
        ...

    def is_alive(self) -> bool:
        """Whether the connection underneath is still there."""
        ...

    def close(self, reason: CloseReason) -> None:
        """End."""
        ...


class Mileage(NamedTuple):
    """How far a feed had come at one moment."""

    vector: Vector
    events: int
    bytes: int
    heartbeats: int


class Feed:
    """Those who are live on one set of topics, with one heartbeat. To be used on the hub's loop only."""

    __slots__ = ("_at", "_beats", "_bodies", "_checked", "_counters", "_heartbeat", "_heartbeat_frame", "_sealed",
                 "_waiting", "_waiting_bytes", "_wants_flush", "last_write", "longest_silence", "members", "mileage",
                 "number", "numbering", "slot", "topics")  # fmt: skip

    def __init__(
        self,
        topics: Sequence[Topic],
        numbering: Numbering,
        heartbeat: float | None,
        heartbeat_frame: bytes,
        wants_flush: Callable[[Feed], None],
        counters: Counters,
    ) -> None:
        self.topics = tuple(topics)
        self.members: dict[Member, None] = {}
        self.number = 0
        """Of the last body whose delivery has begun."""
        self.last_write = self._checked = asyncio.get_running_loop().time()
        self.slot: int | None = None
        self.mileage = Mileage(self._positions(), 0, 0, 0)
        """What a member has that has had every body so far."""
        self._at = {0: self.mileage}
        self._sealed = 0
        self.numbering = numbering
        self._heartbeat = heartbeat
        self._heartbeat_frame = heartbeat_frame
        self._wants_flush = wants_flush
        self._counters = counters
        self._waiting: list[Event] = []
        self._waiting_bytes = 0
        self._beats = 0
        self._bodies: deque[bytes] = deque()
        self.longest_silence = 0.0
        for topic in topics:
            topic.followers.add(self)

    def retire(self) -> None:
        """Follow the topics no more."""
        current_wheel().discard(self)
        for topic in self.topics:
            topic.followers.discard(self)

    # Members.

    def join(self, member: Member) -> Mileage:
        """Take in a member that has all there is, and return what it has had."""
        self._seal()
        member.mark = self._sealed
        if not self.members:
            current_wheel().file(self, self._next_look())
        self.members[member] = None
        return self.mileage

    def leave(self, member: Member) -> Mileage:
        """Let a member go, and return what it has had."""
        had = self.had_by(member)
        member.mark = AWAY
        self.members.pop(member, None)
        return had

    def had_by(self, member: Member) -> Mileage:
        """Return what a member has had."""
        return self._at.get(member.mark, self.mileage)

    # What the topics tell.

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        """Have the next flush deliver the events."""
        # No more than this: one topic may be in thousands of feeds, each of which would encode an id of its own.
        self._waiting += events
        self._waiting_bytes += sum(len(event.payload) for event in events)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            # More is published than can be delivered. What waits here is in the log, too.
            self._send_away()
        else:
            self._wants_flush(self)

    def on_break(self, topic: Topic) -> None:
        """Send all members to the log: only there can each find what it has missed."""
        self._send_away()

    def _send_away(self) -> None:
        for member in tuple(self.members):
            member.break_off()
        self._waiting.clear()
        self._waiting_bytes = 0
        self._bodies.clear()
        self.mileage = self.mileage._replace(vector=self._positions())
        self.number = self._sealed
        self._at = {self.number: self.mileage}

    def _positions(self) -> Vector:
        return tuple(topic.position for topic in self.topics)

    # Deliveries. One flush at a time: the flusher's.

    async def flush(self) -> int:
        """Deliver what waits, and return to how many members; the loop gets a turn every so many."""
        if self._must_look():
            await self._look_for_the_dead()
        self._seal()
        count = 0
        while self._bodies:
            count += await self._deliver_next()
        return count

    def _seal(self) -> None:
        """Make a body of what waits."""
        if not self._waiting and not self._beats:
            return
        frames, vector = self.numbering.frames(self._waiting, self.mileage.vector)
        body = b"".join(frames) or self._heartbeat_frame
        _, events, size, heartbeats = self.mileage
        beats = 0 if frames else 1
        self.mileage = Mileage(vector, events + len(frames), size + len(body), heartbeats + beats)
        self._sealed += 1
        self._at[self._sealed] = self.mileage
        self._bodies.append(body)
        self._waiting.clear()
        self._beats = 0

    async def _deliver_next(self) -> int:
        had, body = self._at[self.number], self._bodies.popleft()
        self._at = {number: at for number, at in self._at.items() if number >= self.number}
        self.number += 1
        events = self._at[self.number].events - had.events
        self._note_write()
        message = {"type": "http.response.body", "body": body, "more_body": True}
        chunk, members = frame_chunk(body), list(self.members)
        for start in range(0, len(members), SLICE):
            if start:
                await asyncio.sleep(0)
            self._counters.delivered += events * self._deliver(members[start : start + SLICE], message, chunk)
        return len(members)

    def _note_write(self) -> None:
        now = asyncio.get_running_loop().time()
        self.longest_silence = max(self.longest_silence, now - self.last_write)
        self.last_write = now
        if not self._bodies:
            self._waiting_bytes = sum(len(event.payload) for event in self._waiting)

    def _deliver(self, members: Sequence[Member], message: Message, chunk: bytes) -> int:
        """Hand one body to a slice of the members, and return how many took it; no call more than the servers' own."""
        number, passed = self.number, 0
        for member in members:
            if member.mark >= number:
                passed += 1
                continue
            try:
                if (write := member.write) is not None:
                    member.mark = number  # before the call, in which it may leave
                    write(chunk)
                elif (send := member.send) is not None:
                    member.mark = number
                    step = send(message)
                    trap = step.send(None)
                    member.wait_for(message, step, trap)
                else:
                    member.wake()  # it reads for itself, and has not had this
                    passed += 1
            except StopIteration:
                pass
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - its connection is broken, nobody else's
                member.failed(exc)
        return len(members) - passed

    # Times.

    def on_time(self, now: float) -> float | None:
        """Have a heartbeat sent after a silence, and the connections looked at; called by the wheel."""
        if not self.members:
            return None
        if self._heartbeat is not None and now >= self.last_write + self._heartbeat and self._is_idle():
            self._beats = 1
            self._wants_flush(self)
        elif now >= self._checked + LOOK_INTERVAL:
            self._wants_flush(self)
        return self._next_look()  # past until the flush has come: the wheel then asks again soon

    def _is_idle(self) -> bool:
        return not self._waiting and not self._bodies

    def _next_look(self) -> float:
        look = self._checked + LOOK_INTERVAL
        return look if self._heartbeat is None else min(look, self.last_write + self._heartbeat)

    def _must_look(self) -> bool:
        return asyncio.get_running_loop().time() >= self._checked + LOOK_INTERVAL

    async def _look_for_the_dead(self) -> None:
        """Close members whose connections are gone, where their servers did not say so."""
        self._checked = asyncio.get_running_loop().time()
        members = list(self.members)
        for start in range(0, len(members), SLICE):
            for member in members[start : start + SLICE]:
                if member.mark != AWAY and not member.is_alive():
                    member.close(CloseReason.WRITE_FAILED)
            await asyncio.sleep(0)


class Flusher:
    """Flushes the feeds that want it, one after the other, in a task that lives as long as there is something to do."""

    def __init__(self) -> None:
        self._feeds: dict[Feed, None] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, feed: Feed) -> None:
        """Flush `feed` at the loop's next turn; what is published until then leaves with it."""
        self._feeds[feed] = None
        if self._task is None:
            task = asyncio.get_running_loop().create_task(self._run(), name="unbroken flusher")
            self._task = None if task.done() else task  # an eager one may have come to its end in that line

    async def close(self) -> None:
        """Flush no more."""
        self._feeds.clear()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        delivered = 0
        try:
            while self._feeds:
                feed = next(iter(self._feeds))
                del self._feeds[feed]
                delivered += await feed.flush()
                if delivered >= SLICE:  # many feeds of few members each
                    delivered = 0
                    await asyncio.sleep(0)
        finally:
            self._task = None
