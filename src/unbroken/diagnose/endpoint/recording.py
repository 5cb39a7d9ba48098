"""A response as it came, with the time of each piece."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from unbroken.diagnose.endpoint.exchange import End, Ended, Head
from unbroken.diagnose.endpoint.framing import FramingChecker
from unbroken.errors import EventStreamError
from unbroken.wire import DecodedEvent, Decoder

__all__ = ["Comment", "Piece", "Recording", "TimedEvent"]

PIECES: Final = 20_000
EVENTS: Final = 20_000
ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""Those that can be taken off."""
ANY_WRAPPER: Final = zlib.MAX_WBITS | 32
BEGINNING_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """What one read gave."""

    at: float
    """Seconds after the request, as all times here."""
    size: int
    """Bytes, after decompression."""
    events: int
    """Events that it completed."""
    inside: bool
    """Whether it ended within an event."""


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event, and when it was complete."""

    at: float
    event: DecodedEvent


@dataclass(frozen=True, slots=True)
class Comment:
    """Comments that one piece completed, and no event with them."""

    at: float
    silence: float
    """Seconds without a byte before it."""


class Recording:
    """What is known of one response: fed while it comes, looked at afterwards. It holds no more than its bounds."""

    def __init__(self, byte_limit: int) -> None:
        self.head: Head | None = None
        self.head_at = 0.0
        self.pieces: list[Piece] = []
        self.events: list[TimedEvent] = []
        self.comments: list[Comment] = []
        self.beginning = b""
        """The first bytes of the body."""
        self.received = 0
        """Bytes of the body as they came, before decompression."""
        self.ended: Ended | None = None
        """None where it was left open."""
        self.left_at = 0.0
        """When it ended or was left."""
        self.longest_silence = 0.0
        """Within the body, its end included."""
        self.framing = FramingChecker()
        self.decoder = Decoder(max_line_bytes=byte_limit, max_event_bytes=byte_limit)
        self._byte_limit = byte_limit
        self._last_at = 0.0
        self._inflate: _Inflater | None = None

    @property
    def is_full(self) -> bool:
        """Whether a bound is reached."""
        return self.received >= self._byte_limit or len(self.pieces) >= PIECES or len(self.events) >= EVENTS

    @property
    def last_silence(self) -> float:
        """Seconds from the last byte, or the head, to the end."""
        return self.left_at - self._last_at

    def take_head(self, at: float, head: Head) -> None:
        """Note the head."""
        self.head, self.head_at, self._last_at = head, at, at
        if (head.get("content-encoding") or "").lower() in ENCODINGS:
            self._inflate = _Inflater()

    def take(self, at: float, data: bytes) -> None:
        """Note bytes of the body."""
        silence = at - self._last_at
        self.longest_silence = max(self.longest_silence, silence)
        self._last_at = at
        self.received += len(data)
        if self._inflate is not None:
            data = self._inflate.feed(data, self._byte_limit)
        if data:
            self._read(at, silence, data)

    def _read(self, at: float, silence: float, data: bytes) -> None:
        self.beginning += data[: BEGINNING_BYTES - len(self.beginning)]
        comments = self.decoder.comments
        try:
            events = self.decoder.feed(data)
        except EventStreamError:  # beyond byte_limit, and so the last that is read
            events = []
        self.framing.feed(data)
        self.events += [TimedEvent(at, event) for event in events]
        self.pieces.append(Piece(at, len(data), len(events), self.framing.inside_event))
        if self.decoder.comments > comments and not events:
            self.comments.append(Comment(at, silence))

    def finish(self, at: float) -> None:
        """Note when it ended or was left open; nothing may be fed afterwards."""
        self.left_at = at
        self.longest_silence = max(self.longest_silence, self.last_silence)
        self.framing.finish(complete=self.ended is not None and self.ended.how is End.COMPLETE)


class _Inflater:
    """Takes gzip or deflate off, within a bound; what is neither gives nothing."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(ANY_WRAPPER)
        self._given = 0

    def feed(self, data: bytes, limit: int) -> bytes:
        if self._given >= limit:
            return b""
        try:
            plain = self._stream.decompress(data, limit - self._given)
        except zlib.error:
            return b""
        self._given += len(plain)
        return plain
