"""A response whose body is read message by message, when the client asks for more."""

from __future__ import annotations

from unbroken.testing.connection import Connection

__all__ = ["PulledConnection"]


class PulledConnection(Connection):
    """A connection that keeps nothing of the body: what is read is the caller's, what is not holds up the application.

    A message of the body is one piece, so that a test decides by what it sends where a
    client sees the stream cut.
    """

    def take_piece(self) -> bytes:
        """Return the next piece of the body; nothing where none has come yet, or no more will."""
        while self._sent and not self.received:
            self._take_one(self._sent.popleft())
        piece = bytes(self.received)
        self.received.clear()
        self.changes.notify()
        return piece

    def _take(self) -> None:
        # Unasked, a client reads the head alone.
        self._taking = None
        if self._sent and self.status is None:
            self._take_one(self._sent.popleft())
        self.changes.notify()
