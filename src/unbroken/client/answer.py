"""What the server's answer means, before any of its body."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from unbroken.errors import UnexpectedResponse

__all__ = ["MAX_REFUSAL_BYTES", "Answer", "refusal_of", "told_heartbeat"]

MAX_REFUSAL_BYTES = 65536
"""Of the body of an answer that is no event stream, for the error: mostly what the server says of it."""

MIN_HEARTBEAT = 0.25
"""Seconds: below it the network's own delays would look like silence."""
MAX_HEARTBEAT = 3600.0
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers of a response; the headers' names in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def is_stream(self) -> bool:
        """Whether its body is an event stream (WHATWG 9.2.3: status 200, and the content type)."""
        return self.status == 200 and self.content_type == "text/event-stream"

    @property
    def is_end(self) -> bool:
        """Whether it tells the client to stop (WHATWG 9.2.1: 204 No Content)."""
        return self.status == 204

    @property
    def content_type(self) -> str:
        """The media type without its parameters: a charset means nothing, an event stream is UTF-8."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def refusal_of(answer: Answer, body: bytes, url: str) -> UnexpectedResponse:
    """Return the error for an answer that is no event stream."""
    return UnexpectedResponse(
        f"{url} answered {_flaw(answer)}{_shown(body)}",
        status=answer.status,
        headers=answer.headers,
        body=body,
        retry_after=_retry_after(answer.headers),
    )


def _flaw(answer: Answer) -> str:
    if answer.status != 200:
        return f"{answer.status}, and an event stream is a 200"
    return (
        f"200 with the content type {answer.content_type or '(none)'!r}, and an event stream is 'text/event-stream': "
        "look whether this is the stream's address"
    )


def _shown(body: bytes) -> str:
    text = " ".join(body[: _SHOWN * 4].decode(errors="replace").split())
    if not text:
        return ""
    return f"; its body begins: {text[:_SHOWN]!r}"


def told_heartbeat(headers: Mapping[str, str]) -> float | None:
    """Return the seconds between two heartbeats, as a server of this package tells them; None without a valid one."""
    try:
        told = float(headers.get("stream-heartbeat", ""))
    except ValueError:
        return None
    return max(told, MIN_HEARTBEAT) if math.isfinite(told) and 0 < told <= MAX_HEARTBEAT else None


def _retry_after(headers: Mapping[str, str]) -> float:
    # RFC 9110, 10.2.3: seconds, or a date.
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:20])
    try:
        when = email.utils.parsedate_to_datetime(value)
        return max(0.0, when.timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
