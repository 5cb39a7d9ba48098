"""How a stream behaves: the arguments of a response, checked once."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

from unbroken.errors import CloseReason, ConfigurationError
from unbroken.wire import HEARTBEAT, ServerSentEvent, encode, encode_control

__all__ = ["StreamOptions"]

P = ParamSpec("P")
R = TypeVar("R")


def _remembered(check: Callable[P, R]) -> Callable[P, R]:
    """Check the same arguments once: thousands of streams are made with them, and share what comes of it."""
    remembered = lru_cache(maxsize=256, typed=True)(check)  # typed, or True would pass as 1

    @wraps(check)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return remembered(*args, **kwargs)  # type: ignore[arg-type] # hashable, or:
        except TypeError:
            return check(*args, **kwargs)  # what cannot be hashed is none of the right values; let it be named

    return checked


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The arguments of `EventSourceResponse` that outlive its making, in seconds where they are times."""

    preamble: bytes
    heartbeat: float | None
    heartbeat_frame: bytes
    send_timeout: float | None
    max_age: float | None
    max_age_jitter: float
    start_grace: float
    cleanup_timeout: float
    dead_peer_timeout: float | None
    drain_grace: float | None
    drain_retry: tuple[int, int]
    opening_frame: bytes = HEARTBEAT
    """What leaves with the headers after `start_grace`: some servers send those only with the body's first bytes."""
    make_heartbeat: Callable[[], bytes] | None = None
    """Makes each heartbeat, in place of `heartbeat_frame`. Must not raise."""

    def heartbeat_now(self) -> bytes:
        """Return the heartbeat to send now."""
        return self.heartbeat_frame if self.make_heartbeat is None else self.make_heartbeat()

    def some_age(self) -> float | None:
        """Draw the age at which one stream ends: streams that began together must not all come back together."""
        if self.max_age is None:
            return None
        return self.max_age * (1 - random.uniform(0, self.max_age_jitter))  # noqa: S311 - no secret hangs on it

    def last_words(self, reason: CloseReason) -> bytes:
        """Return what is written at the end of a body that the server ends."""
        if reason is not CloseReason.SHUTDOWN:
            return encode_control("stream-end", {"reason": reason})
        retry = ServerSentEvent(retry=random.randint(*self.drain_retry))  # noqa: S311 - as above
        return encode(retry) + encode_control("stream-end", {"reason": reason})

    @classmethod
    @_remembered
    def checked(
        cls,
        *,
        retry: int | None,
        heartbeat: float | None,
        heartbeat_event: str | None,
        send_timeout: float | None,
        max_age: float | None,
        max_age_jitter: float,
        start_grace: float,
        cleanup_timeout: float,
        dead_peer_timeout: float | None,
        drain_grace: float | None,
        drain_retry: tuple[int, int],
    ) -> StreamOptions:
        """Check the arguments and encode what of them goes on the wire.

        Raises:
            ConfigurationError: a time is not a finite number above 0 (or, for the graces, from 0 on), a share is not
                within 0 and 1, or `drain_retry` is no pair.
            EncodeError: `retry` or `heartbeat_event` cannot be written.
        """
        return cls(
            preamble=b"" if retry is None else encode(ServerSentEvent(retry=retry)),
            heartbeat=_optional("heartbeat", heartbeat),
            # An event needs a data field, if an empty one, or a reader does not dispatch it (WHATWG 9.2.6).
            heartbeat_frame=HEARTBEAT
            if heartbeat_event is None
            else encode(ServerSentEvent(data="", event=heartbeat_event)),
            send_timeout=_optional("send_timeout", send_timeout),
            max_age=_optional("max_age", max_age),
            max_age_jitter=_share("max_age_jitter", max_age_jitter),
            start_grace=_seconds("start_grace", start_grace, zero=True),
            cleanup_timeout=_seconds("cleanup_timeout", cleanup_timeout, zero=True),
            dead_peer_timeout=_optional("dead_peer_timeout", dead_peer_timeout),
            drain_grace=None if drain_grace is None else _seconds("drain_grace", drain_grace, zero=True),
            drain_retry=_window("drain_retry", drain_retry),
        )


def _optional(name: str, value: float | None) -> float | None:
    return None if value is None else _seconds(name, value, zero=False)


def _seconds(name: str, value: float, *, zero: bool) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0, or None to turn it off"
        raise ConfigurationError(f"{name}={value!r} is not a time: give seconds, {least}")
    return float(value)


def _share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{name}={value!r} is no share: give a number from 0 (none) to 1")
    return float(value)


def _window(name: str, value: tuple[int, int]) -> tuple[int, int]:
    pair = isinstance(value, tuple) and len(value) == 2 and all(type(bound) is int for bound in value)
    if not pair or not 0 <= value[0] <= value[1]:
        raise ConfigurationError(f"{name}={value!r} is no window: give two integers in milliseconds, (least, most)")
    return value
