"""How a client behaves: its arguments, checked once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from unbroken.errors import ConfigurationError
from unbroken.wire import DecodedEvent, Decoder

__all__ = ["DEFAULT_IDLE_TIMEOUT", "RETRY_STATUSES", "End", "GapPolicy", "IdleTimeout", "Options", "Reconnect"]

Reconnect = Literal["always", "faults", "opening", "never"]
GapPolicy = Literal["raise", "event", "ignore"]
IdleTimeout = float | Literal["auto"] | None
End = str | Callable[[DecodedEvent], bool]

RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The answers that a later attempt may well not get: the server or a hop before it is busy, starting or stopping."""

DEFAULT_IDLE_TIMEOUT = 45.0
"""Three of the heartbeats that WHATWG 9.2.7 advises, about every 15 seconds."""

T = TypeVar("T", bound=str)

_MAX_TIMEOUT = 7 * 24 * 3600.0  # what a socket's and a thread's waits certainly take


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of `EventSource` that say how it behaves; times in seconds."""

    reconnect: Reconnect
    reconnect_delay: float
    max_delay: float
    max_attempts: int | None
    reconnect_timeout: float | None
    retry_statuses: frozenset[int]
    connect_timeout: float
    idle_timeout: IdleTimeout
    end: Callable[[DecodedEvent], bool] | None
    gaps: GapPolicy
    drop_duplicates: bool
    max_line_bytes: int | None
    max_event_bytes: int | None
    record: Callable[[bytes], object] | None

    @classmethod
    def checked(
        cls,
        *,
        method: str,
        reconnect: Reconnect | None,
        reconnect_delay: float,
        max_delay: float,
        max_attempts: int | None,
        reconnect_timeout: float | None,
        retry_statuses: Collection[int],
        connect_timeout: float,
        idle_timeout: IdleTimeout,
        end: End | None,
        gaps: GapPolicy,
        drop_duplicates: bool,
        max_line_bytes: int | None,
        max_event_bytes: int | None,
        record: Callable[[bytes], object] | None,
    ) -> Options:
        """Check the arguments.

        Raises:
            ConfigurationError: one of them is out of its range; the text says which, and what it may be.
        """
        Decoder(max_line_bytes=max_line_bytes, max_event_bytes=max_event_bytes)  # checks them
        # A repeated GET asks again; a repeated POST may buy a second answer from a model.
        by_method: Reconnect = "always" if method.upper() == "GET" else "never"
        return cls(
            reconnect=by_method if reconnect is None else _one_of("reconnect", reconnect, get_args(Reconnect)),
            reconnect_delay=_seconds("reconnect_delay", reconnect_delay, zero=True),
            max_delay=_seconds("max_delay", max_delay, zero=True),
            max_attempts=None if max_attempts is None else _count("max_attempts", max_attempts, least=1),
            reconnect_timeout=None
            if reconnect_timeout is None
            else _seconds("reconnect_timeout", reconnect_timeout, zero=True),
            retry_statuses=_statuses(retry_statuses),
            connect_timeout=_seconds("connect_timeout", connect_timeout),
            idle_timeout=idle_timeout
            if idle_timeout is None or idle_timeout == "auto"
            else _seconds("idle_timeout", idle_timeout),
            end=_end(end),
            gaps=_one_of("gaps", gaps, get_args(GapPolicy)),
            drop_duplicates=bool(drop_duplicates),
            max_line_bytes=max_line_bytes,
            max_event_bytes=max_event_bytes,
            record=record,
        )


def _one_of(name: str, value: T, known: tuple[T, ...]) -> T:
    if value not in known:
        raise ConfigurationError(f"{name}={value!r} is none of {', '.join(map(repr, known))}")
    return value


def _seconds(name: str, value: float, *, zero: bool = False) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero) or value > _MAX_TIMEOUT:
        least = "0" if zero else "more than 0"
        raise ConfigurationError(f"{name}={value!r} is not a time: give seconds, {least} to {_MAX_TIMEOUT:.0f}")
    return float(value)


def _count(name: str, value: int, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name}={value!r} is no count: give an integer, {least} or more")
    return value


def _statuses(statuses: Collection[int]) -> frozenset[int]:
    given = statuses if isinstance(statuses, Collection) and not isinstance(statuses, str) else [statuses]
    odd = [status for status in given if not isinstance(status, int) or not 100 <= status <= 599]
    if odd or given is not statuses:
        raise ConfigurationError(f"retry_statuses={statuses!r} are no status codes: give several integers, 100 to 599")
    return frozenset(statuses)


def _end(end: End | None) -> Callable[[DecodedEvent], bool] | None:
    if isinstance(end, str):
        return lambda event: event.data == end
    if end is not None and not callable(end):
        raise ConfigurationError(f"end={end!r} is neither the data of an event nor a callable that is given each event")
    return end
