"""The life of a response whose events come from topics: no task works for it while it is live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unbroken.errors import CloseReason
from unbroken.servers import Connection
from unbroken.stream.exchange import Exchange
from unbroken.stream.options import StreamOptions
from unbroken.stream.outlet import Message, Send

if TYPE_CHECKING:
    from unbroken.hub.subscriber import Subscriber

__all__ = ["HubExchange"]

_NONE: Message = {}
"""Once the headers have left; one for all, since thousands of streams may be open."""


class HubExchange(Exchange):
    """An exchange whose producer, a `Subscriber`, runs only to catch up; while it is live, a feed writes."""

    __slots__ = ("_events", "_heartbeats", "detached", "start", "subscriber")

    def __init__(self, start: Message, send: Send, connection: Connection, options: StreamOptions) -> None:
        super().__init__(start, send, connection, options)
        self.start: Message = start
        self.detached = False
        """The server's task has ended, and the stream has not."""
        self.subscriber: Subscriber

    def rests(self) -> bool:
        """Whether a feed writes."""
        return self.reason is None and self.subscriber.is_live

    def goes_on(self) -> bool:
        """Whether the connection is written to directly, with no task of the server's."""
        return self.detached and not self.ended.done()

    def announce(self, resume: str) -> None:
        """Say in the headers how far the reader's cursor is honoured, unless they have left."""
        start, self.start = dict(self.start), _NONE
        start["headers"] = [*start["headers"], (b"stream-resume", resume.encode())]
        self.outlet.open_with(start, self.options.preamble)

    def decline(self) -> None:
        """Answer 204, which makes a browser stop: the reader has all there is, and nothing more will come."""
        headers = [header for header in self.start["headers"] if header[0] != b"content-type"]
        self.outlet.open_with({**self.start, "status": 204, "headers": headers}, b"")
        self.between = False  # so that nothing is written after it
        self.close(CloseReason.COMPLETED)

    def heartbeat_now(self) -> bytes:
        """Return what its own deadlines send after a silence."""
        return self.subscriber.heartbeat_now()

    # What a feed has written for it is added up when it leaves the feed, or when somebody asks.

    @property
    def events(self) -> int:
        """Events handed to the server so far."""
        return self._events + self.subscriber.share.events

    @events.setter
    def events(self, events: int) -> None:
        self._events = events

    @property
    def heartbeats(self) -> int:
        """Heartbeats so far."""
        return self._heartbeats + self.subscriber.share.heartbeats

    @heartbeats.setter
    def heartbeats(self, heartbeats: int) -> None:
        self._heartbeats = heartbeats

    @property
    def sent_bytes(self) -> int:
        """Bytes of the body so far."""
        return self.outlet.sent_bytes + self.subscriber.share.bytes

    @property
    def longest_silence(self) -> float:
        """The longest time without a byte so far, in seconds."""
        return max(super().longest_silence, self.subscriber.longest_silence)

    @property
    def last_write(self) -> float:
        """The moment of the last byte."""
        return max(self.outlet.last_write, self.subscriber.last_write)
