"""An open stream as the rest of the process sees it: counted, observed, drained, and on record at its end."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass

import anyio
from starlette.requests import HTTPConnection

from unbroken.errors import CloseReason, ConfigurationError
from unbroken.observe import StreamRecord, logger, tell
from unbroken.observe.roster import enter, leave
from unbroken.stream.drain import current_drain
from unbroken.stream.exchange import Exchange, Receive
from unbroken.stream.labels import client_of, route_of
from unbroken.stream.limits import Limits, Place, refuse
from unbroken.stream.outlet import Message, Send
from unbroken.stream.revalidation import Revalidate, Revalidation

__all__ = ["GUARD", "OnClose", "Policy", "Registration", "admit", "policies_of"]

GUARD = "unbroken.guard"
"""Where an `EventStreamGuard` leaves itself in the scope, for the responses inside that need none."""

ON_CLOSE_TIMEOUT = 10.0
"""Seconds that a coroutine function given as `on_close` may take."""

KEPT = ("type", "method", "path", "root_path", "client", "server", "endpoint", "route", "router")
"""What of a scope says which request it was."""

OnClose = Callable[[StreamRecord], Awaitable[None] | None]

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may have a stream, for how long, and who is told of its end."""

    limits: Limits | None
    revalidate: Revalidate | None
    revalidate_interval: float
    on_close: OnClose | None

    def __post_init__(self) -> None:
        interval = self.revalidate_interval
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0 < interval < math.inf:
            raise ConfigurationError(f"revalidate_interval={interval!r} is not a time: give seconds, more than 0")
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigurationError(f"limits={self.limits!r} is no Limits: give Limits(total=…), made once")
        _check_callback("revalidate", self.revalidate)
        _check_callback("on_close", self.on_close)


def policies_of(
    limits: Limits | None, revalidate: Revalidate | None, revalidate_interval: float, on_close: OnClose | None
) -> tuple[Policy, ...]:
    """Return the policy that the arguments make, if they make any: most streams have none, and need not hold it."""
    policy = Policy(limits=limits, revalidate=revalidate, revalidate_interval=revalidate_interval, on_close=on_close)
    # Not by truth: a collector that is called may be a list, and an empty one is falsy.
    return () if limits is None and revalidate is None and on_close is None else (policy,)


async def admit(policies: Sequence[Policy], scope: Message, receive: Receive, send: Send) -> Sequence[Place] | None:
    """Count a stream in under all limits; or answer 503, and return None."""
    places: list[Place] = []
    for limits in (policy.limits for policy in policies if policy.limits is not None):
        try:
            place = await limits.admit(scope)
        except BaseException:  # of its key, or a cancellation while that is awaited
            _give_back(places)
            raise
        if not isinstance(place, Place):
            _give_back(places)
            await refuse(place, limits.retry_after, scope, receive, send)
            return None
        places.append(place)
    return tuple(places)  # the empty one, which most streams have, is shared by them


class Registration:
    """One open stream, and an `OpenStream` for whoever looks. Its methods are for the stream's own loop."""

    __slots__ = (
        "_dismiss", "_exchange", "_loop", "_places", "_policies", "_revalidations", "_scope", "guarded", "id",
        "opened_at",
    )  # fmt: skip

    def __init__(
        self,
        scope: Message,
        exchange: Exchange,
        policies: Sequence[Policy],
        places: Sequence[Place],
        *,
        guarded: bool = False,
        dismiss: Callable[[], None] | None = None,
    ) -> None:
        self.id = next(_ids)
        self._loop = asyncio.get_running_loop()
        self._scope = scope
        self._exchange = exchange
        self._policies = policies
        self._places = places
        self._revalidations = tuple(
            Revalidation(policy.revalidate, policy.revalidate_interval, HTTPConnection(scope), exchange)
            for policy in policies
            if policy.revalidate is not None
        )
        self.guarded = guarded
        self._dismiss = dismiss
        self.opened_at = time.time()

    def begin(self, send: Send) -> None:
        """Enter the stream everywhere."""
        enter(self)
        if self._exchange.drains:
            current_drain().add(self, self._scope, send)
        for revalidation in self._revalidations:
            revalidation.begin()
        tell("opened", self)

    def travel_light(self) -> None:
        """Keep of the request what its record needs: the stream outlives it."""
        if not self._revalidations:
            self._scope = {name: self._scope[name] for name in KEPT if name in self._scope}

    def dismiss(self) -> None:
        """End the stream because its server shuts down."""
        (self._dismiss or self._exchange.dismiss)()

    async def end(self) -> None:
        """Take the stream out everywhere, and put its end on record."""
        current_drain().discard(self)
        for revalidation in self._revalidations:
            revalidation.stop()
        leave(self)
        _give_back(self._places)
        record = self._record()
        tell("closed", record)
        for on_close in (policy.on_close for policy in self._policies if policy.on_close is not None):
            await _call(on_close, record)

    def _record(self) -> StreamRecord:
        exchange = self._exchange
        assert exchange.reason is not None
        return StreamRecord(
            id=self.id,
            reason=exchange.reason,
            method=self.method,
            path=self.path,
            route=self.route,
            client=self.client,
            key=self.key,
            guarded=self.guarded,
            opened_at=self.opened_at,
            duration=self.age(),
            first_byte=exchange.started_after,
            longest_silence=exchange.longest_silence,
            last_silence=exchange.last_silence,
            events=exchange.events,
            discarded=exchange.discarded,
            heartbeats=exchange.heartbeats,
            sent_bytes=exchange.sent_bytes,
            cleanup=exchange.cleanup,
            error=exchange.error,
        )

    # As others see it.

    @property
    def method(self) -> str:
        """The request's method."""
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        """The request's path."""
        return str(self._scope["path"])

    @property
    def route(self) -> str | None:
        """The path's template, or None."""
        return route_of(self._scope)

    @property
    def client(self) -> str | None:
        """Host and port, or None."""
        return client_of(self._scope)

    @property
    def key(self) -> Hashable:
        """What the limits count it by, or None."""
        return next((place.key for place in self._places if place.key is not None), None)

    @property
    def reason(self) -> CloseReason | None:
        """Why it is ending, or None."""
        return self._exchange.reason

    @property
    def events(self) -> int:
        """Events handed to the server so far."""
        return self._exchange.events

    @property
    def heartbeats(self) -> int:
        """Heartbeats so far."""
        return self._exchange.heartbeats

    @property
    def sent_bytes(self) -> int:
        """Bytes of the body so far."""
        return self._exchange.sent_bytes

    def age(self) -> float:
        """Return the seconds since its first moment."""
        return self._loop.time() - self._exchange.opened

    def silence(self) -> float:
        """Return the seconds since its last byte."""
        return self._loop.time() - self._exchange.last_write


def _check_callback(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name}={value!r} cannot be called: give a function, or None for none")


async def _call(on_close: OnClose, record: StreamRecord) -> None:
    with anyio.CancelScope(shield=True):
        try:
            result = on_close(record)
            if inspect.isawaitable(result):
                async with asyncio.timeout(ON_CLOSE_TIMEOUT):
                    await result
        except Exception:  # noqa: BLE001 - a callback's fault must not look like the stream's
            logger.exception("on_close of a stream failed")


def _give_back(places: Sequence[Place]) -> None:
    for place in places:
        place.give_back()
