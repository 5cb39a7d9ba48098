"""The headers of an event stream: what every hop must be told, and what none may be."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["corrected", "is_encoded", "is_event_stream", "without_encodings"]

Headers = Iterable[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""RFC 9113, 8.2.2: not on HTTP/2; WebKit drops a stream that has them."""


def is_event_stream(headers: Headers) -> bool:
    """Whether a response with these headers is one."""
    for name, value in headers:
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower() == b"text/event-stream"
    return False


def is_encoded(headers: Headers) -> bool:
    """Whether the body is compressed, so that nothing can be put into it."""
    return any(name.lower() == b"content-encoding" and value.lower() != b"identity" for name, value in headers)


def corrected(headers: Headers, http_version: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that keep hops from buffering, caching and compressing the stream."""
    dropped = {b"content-length"} | (HOP_BY_HOP if http_version.startswith(("2", "3")) else set())
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in dropped]
    given = {name for name, _ in kept}
    caching = b", ".join(value for name, value in kept if name == b"cache-control") or b"no-store"
    if b"no-transform" not in caching.lower():  # a proxy that compresses a stream buffers it
        caching += b", no-transform"
    others = [(name, value) for name, value in kept if name != b"cache-control"]
    buffering = [] if b"x-accel-buffering" in given else [(b"x-accel-buffering", b"no")]
    return [*others, (b"cache-control", caching), *buffering]


def without_encodings(headers: Headers) -> list[tuple[bytes, bytes]] | None:
    """Return the headers of a request for an event stream without its `Accept-Encoding`; None for other requests.

    A middleware that compresses what it should not (Starlette's did before 0.46) then has no reason to.
    """
    for name, value in headers:
        if name == b"accept" and b"text/event-stream" in value:
            return [header for header in headers if header[0] != b"accept-encoding"]
    return None
