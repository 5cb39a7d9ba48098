"""What of a stream is due at a time: its start, heartbeats, looks at the socket, its age, and the end of patience."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unbroken.errors import CloseReason
from unbroken.observe import Cleanup
from unbroken.stream.wheel import current_wheel

if TYPE_CHECKING:
    from unbroken.stream.exchange import Exchange

__all__ = ["Deadlines"]

KILL_INTERVAL = 0.5
"""Seconds between two attempts to end a producer that is out of time."""
KILL_ATTEMPTS = 3

LIVENESS_INTERVAL = 15.0
"""Seconds between two looks at the socket underneath, where there is no heartbeat to tie them to."""


class Deadlines:
    """The deadlines of one exchange, which it serves. To be used on its event loop only."""

    __slots__ = ("_checked", "_exchange", "_kill_at", "_kills", "_max_age", "slot")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._checked = exchange.opened
        self._kill_at: float | None = None
        self._kills = 0
        self._max_age = exchange.options.some_age()
        self.slot: int | None = None

    def look_again(self) -> None:
        """Note that something has begun whose time may run out."""
        look = self._next_look()
        if look is not None:
            current_wheel().file(self, look)

    def due_in(self, seconds: float) -> None:
        """Give what is ending so many seconds; then `hurry`."""
        self._kill_at = asyncio.get_running_loop().time() + seconds
        current_wheel().file(self, self._kill_at)

    def stop(self) -> None:
        """Nothing is due any more."""
        current_wheel().discard(self)

    def grace(self) -> float:
        """Return the seconds that the producer has for its cleanup and farewell."""
        options = self._exchange.options
        draining = self._exchange.reason is CloseReason.SHUTDOWN
        return options.drain_grace if draining and options.drain_grace is not None else options.cleanup_timeout

    def on_time(self, now: float) -> float | None:
        """Do what is due; called by the wheel."""
        exchange = self._exchange
        if exchange.ended.done():
            return None
        if self._kill_at is not None and now >= self._kill_at:
            self.hurry()
        if exchange.outlet.is_stuck(now, self._write_limit()):
            exchange.close(CloseReason.SEND_TIMEOUT)
            exchange.connection.abort()
        elif exchange.reason is None:
            self._keep(now)
        return None if exchange.ended.done() else self._next_look()

    def hurry(self) -> None:
        """The cleanup is out of time: end the producer, and if it resists, leave it behind."""
        exchange = self._exchange
        if exchange.finishing:
            if exchange.reason is None:
                exchange.end_for(CloseReason.CLIENT_CLOSED)
            exchange.lose()
        elif exchange.outlet.waits_since is not None and not exchange.gone:
            # The client takes nothing, so there is no farewell, and the producer has not even been told.
            exchange.lose()
            exchange.connection.abort()
            if exchange.reason is not CloseReason.SHUTDOWN:  # then the server has waited long enough
                return self.due_in(exchange.options.cleanup_timeout)
        elif self._kills < KILL_ATTEMPTS and exchange.producer is not None:
            self._kills += 1
            exchange.cleanup = Cleanup.CANCELLED
            exchange.producer.kill()
        else:
            return self._abandon()
        return self.due_in(KILL_INTERVAL)

    def _abandon(self) -> None:
        exchange = self._exchange
        exchange.cleanup = Cleanup.ABANDONED
        if not exchange.gone:
            exchange.lose()
            exchange.connection.abort()
        exchange.end()

    def _keep(self, now: float) -> None:
        """Look after a stream that is open."""
        exchange, outlet, options = self._exchange, self._exchange.outlet, self._exchange.options
        if _is_over(exchange.opened, self._max_age, now):
            exchange.close(CloseReason.MAX_AGE)
        elif outlet.started_at is None:
            if now >= exchange.opened + options.start_grace:
                outlet.write_aside(b"" if options.preamble else options.opening_frame)
        elif exchange.beats and exchange.between and _is_over(outlet.last_write, options.heartbeat, now):
            exchange.heartbeats += outlet.write_aside(exchange.heartbeat_now())
        if exchange.beats and now >= self._checked + self._look_interval():
            self._check(now)

    def _check(self, now: float) -> None:
        """Look at the socket, where the server might not."""
        self._checked = now
        if not self._exchange.connection.is_alive():
            self._exchange.close(CloseReason.WRITE_FAILED)
            self._exchange.connection.abort()

    def _look_interval(self) -> float:
        return self._exchange.options.heartbeat or LIVENESS_INTERVAL

    def _write_limit(self) -> float | None:
        """Return the seconds that one write may wait. In a drain half the grace: the rest is for the cleanup."""
        limit = self._exchange.options.send_timeout
        if self._exchange.reason is not CloseReason.SHUTDOWN:
            return limit
        half = self.grace() / 2
        return half if limit is None else min(limit, half)

    def _next_look(self) -> float | None:
        exchange, outlet, options = self._exchange, self._exchange.outlet, self._exchange.options
        looks = [] if self._kill_at is None else [self._kill_at]
        if self._kill_at is None and exchange.beats:
            looks.append(self._checked + self._look_interval())
        if exchange.reason is None and self._max_age is not None:
            looks.append(exchange.opened + self._max_age)
        if outlet.waits_since is not None:
            if (limit := self._write_limit()) is not None:
                looks.append(outlet.next_look(limit))
        elif outlet.started_at is None:
            looks.append(exchange.opened + options.start_grace)
        elif exchange.beats and options.heartbeat is not None:
            # Inside an event no heartbeat may go; the write that ends it counts anew.
            since = outlet.last_write if exchange.between else asyncio.get_running_loop().time()
            looks.append(since + options.heartbeat)
        return min(looks, default=None)


def _is_over(since: float | None, limit: float | None, now: float) -> bool:
    return since is not None and limit is not None and now >= since + limit
