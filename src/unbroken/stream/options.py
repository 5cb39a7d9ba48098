"""How a stream behaves: the arguments of a response, checked once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from unbroken.errors import ConfigurationError
from unbroken.wire import HEARTBEAT, ServerSentEvent, encode

__all__ = ["StreamOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The arguments of `EventSourceResponse` that outlive its making, in seconds where they are times."""

    preamble: bytes
    heartbeat: float | None
    heartbeat_frame: bytes
    send_timeout: float | None
    max_age: float | None
    start_grace: float
    cleanup_timeout: float
    dead_peer_timeout: float | None
    opening_frame: bytes = HEARTBEAT
    """What leaves with the headers after `start_grace`: some servers send those only with the body's first bytes."""
    make_heartbeat: Callable[[], bytes] | None = None
    """Makes each heartbeat, in place of `heartbeat_frame`. Must not raise."""

    def heartbeat_now(self) -> bytes:
        """Return the heartbeat to send now."""
        return self.heartbeat_frame if self.make_heartbeat is None else self.make_heartbeat()

    @classmethod
    @lru_cache(maxsize=256, typed=True)  # one for all streams with the same arguments; typed, or True would pass as 1
    def checked(
        cls,
        *,
        retry: int | None,
        heartbeat: float | None,
        heartbeat_event: str | None,
        send_timeout: float | None,
        max_age: float | None,
        start_grace: float,
        cleanup_timeout: float,
        dead_peer_timeout: float | None,
    ) -> StreamOptions:
        """Check the arguments and encode what of them goes on the wire.

        Raises:
            ConfigurationError: a time is not a finite number above 0 (or, for the graces, from 0 on).
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
            start_grace=_seconds("start_grace", start_grace, zero=True),
            cleanup_timeout=_seconds("cleanup_timeout", cleanup_timeout, zero=True),
            dead_peer_timeout=_optional("dead_peer_timeout", dead_peer_timeout),
        )


def _optional(name: str, value: float | None) -> float | None:
    return None if value is None else _seconds(name, value, zero=False)


def _seconds(name: str, value: float, *, zero: bool) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0, or None to turn it off"
        raise ConfigurationError(f"{name}={value!r} is not a time: give seconds, {least}")
    return float(value)
