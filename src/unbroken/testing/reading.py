"""What a client has read of a response, as events and comments."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from unbroken.wire import DecodedEvent, Decoder
from unbroken.wire.lines import LineSplitter

if TYPE_CHECKING:
    from unbroken.testing.connection import Connection

__all__ = ["Reading"]


class Reading:
    """Decodes a response's body when somebody looks, so that what the decoder raises reaches who looked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._lines = LineSplitter(None)
        self._decoded_bytes = 0
        self._events: deque[DecodedEvent] = deque()
        self._comments: list[str] = []

    def __str__(self) -> str:
        return f"{len(self._events)} unread events, {len(self._comments)} comments"

    def events(self) -> deque[DecodedEvent]:
        """Return the events read so far; the caller takes out what it consumes."""
        self._decode()
        return self._events

    def comments(self) -> list[str]:
        """Return every comment read so far."""
        self._decode()
        return self._comments

    def retry(self) -> int | None:
        """Return the last reconnection time, in milliseconds."""
        self._decode()
        return self._decoder.retry

    def _decode(self) -> None:
        chunk = bytes(self._connection.received[self._decoded_bytes :])
        self._decoded_bytes += len(chunk)
        if self._connection.headers.get("content-type", "").startswith("text/event-stream"):
            # The decoder counts comments; a test wants to see them.
            self._comments += [_comment_text(line) for line in self._lines.split(chunk) if line.startswith(b":")]
            self._events += self._decoder.feed(chunk)


def _comment_text(line: bytes | bytearray) -> str:
    return line[1:].removeprefix(b" ").decode(errors="replace")
