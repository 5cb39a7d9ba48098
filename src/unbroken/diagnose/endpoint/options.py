"""What an examination may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unbroken.errors import ConfigurationError

__all__ = ["MOST_CONNECTIONS", "Options"]

MOST_CONNECTIONS: Final = 20
"""More at once would be load, not a look."""

QUICK_WATCH: Final = 5.0
THOROUGH_WATCH: Final = 25.0
"""Longer than the 15 s after which the usual libraries send a heartbeat."""

# RFC 9110, 5.6.2 and 5.5.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "last-event-id", "accept-encoding"})
# RFC 9110, 7.6.1 and RFC 9113, 8.2.2: they are about the connection, and HTTP/2 forbids them.
_HOP_BY_HOP = frozenset({"te", "trailer", "upgrade", "keep-alive", "proxy-connection", "http2-settings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to examine an endpoint; the defaults are a quick look at a GET endpoint.

    Attributes:
        method: The request's method. One other than GET is sent once only, unless `repeat`.
        headers: Names and values to send along, for instance a credential; a name may come twice. They are sent to
            the URL's own origin only, and their values never appear in a result.
        body: The request's body. It is sent to the URL's own origin only: a redirect to another one is not followed.
        repeat: Whether a request that is no GET may be made more than once.
        thorough: Whether the slow and the rough probes are made too: a reader that stops, a
            half-close, a reset, several connections at once, HEAD. Behind a proxy, HEAD to an endpoint that
            streams to it can make one request of somebody else's hang: not for a live system in its busy hour.
        connections: How many connections are opened at once by `thorough`; 5 by default, at most 20.
        event_limit: Events after which a stream is left; 100 by default.
        byte_limit: Bytes of a body after which it is left; 4 MiB by default.
        watch: Seconds for which the stream is watched; 5 by default, 25 if `thorough`.
        silence: Seconds for which the stream is kept open beyond that, to find a hop that cuts it; 0 by default.
            Beyond 3600 it is refused.
        heartbeat_within: Seconds of silence after which a heartbeat is missed; 20 by default.
        head_timeout: Seconds to wait for a connection, and as many for a response's head; 10 by default.
        probe_timeout: Seconds for which the shorter probes wait for what they look for; 2.5 by default.
        slow_pause: Seconds for which the slow reader does not read; 3 by default.
        total_timeout: Seconds after which the examination ends, and what is left is skipped; by default
            20 and what `watch`, `silence` and `head_timeout` are beyond theirs, 60 more if `thorough`.
        verify: Whether the certificate is verified; a path is a file of certificates to trust.

    Raises:
        ConfigurationError: A value is out of its range, or a header cannot be sent.
    """

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    repeat: bool = False
    thorough: bool = False
    connections: int = 5
    event_limit: int = 100
    byte_limit: int = 4 * 1024 * 1024
    watch: float | None = None
    silence: float = 0.0
    heartbeat_within: float = 20.0
    head_timeout: float = 10.0
    probe_timeout: float = 2.5
    slow_pause: float = 3.0
    total_timeout: float | None = None
    verify: bool | str | Path = True

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.method):
            raise ConfigurationError(f"method={self.method!r} is no HTTP method; give one such as 'GET' or 'POST'")
        for name, value in self.headers:
            _check_header(name, value)
        _check_range("connections", self.connections, 1, MOST_CONNECTIONS)
        _check_range("event_limit", self.event_limit, 1, 100_000)
        _check_range("byte_limit", self.byte_limit, 1024, 256 * 1024 * 1024)
        _check_range("silence", self.silence, 0, 3600)
        for name in ("head_timeout", "probe_timeout", "slow_pause", "heartbeat_within"):
            _check_range(name, getattr(self, name), 0.01, 600)
        for name in ("watch", "total_timeout"):
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name), 0.01, 7200)

    @property
    def watch_seconds(self) -> float:
        """`watch`, or its default."""
        return self.watch if self.watch is not None else THOROUGH_WATCH if self.thorough else QUICK_WATCH

    @property
    def total_seconds(self) -> float:
        """`total_timeout`, or its default."""
        if self.total_timeout is not None:
            return self.total_timeout
        return 5.0 + self.head_timeout + self.watch_seconds + self.silence + (60.0 if self.thorough else 0.0)

    @property
    def may_repeat(self) -> bool:
        """Whether the request may be made a second time."""
        # RFC 9110, 9.2.1: safe. Of HEAD and OPTIONS nothing is to be learnt here.
        return self.repeat or self.method == "GET"


def _check_header(name: str, value: str) -> None:
    # The value may be a credential: it is not shown.
    if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or value != value.strip(" \t"):
        raise ConfigurationError(
            f"the header {name!r} cannot be sent: a name is a token, a value one line of latin-1 without outer spaces"
        )
    if name.lower() in _HOP_BY_HOP:
        raise ConfigurationError(f"the header {name!r} is about one connection, and HTTP/2 forbids it; leave it out")
    if name.lower() in _OURS:
        raise ConfigurationError(f"the header {name!r} is set by the examination itself; leave it out")


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{name}={value!r} is out of its range: give {least} to {most}")
