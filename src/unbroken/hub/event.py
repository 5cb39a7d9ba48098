"""An event of a topic, between the log and its readers: encoded once, whoever reads it."""

from __future__ import annotations

import json
from typing import Any

from unbroken.errors import EncodeError
from unbroken.logs import Entry, Position
from unbroken.wire import DecodedEvent, Decoder, ServerSentEvent, encode

__all__ = ["Event", "encode_payload"]


class Event:
    """What was published on a topic: immutable, and shared by all who read it.

    Attributes:
        topic: The topic's name.
        position: Its place in the topic.
    """

    __slots__ = ("_decoded", "_frame", "payload", "position", "previous", "topic")

    def __init__(self, topic: str, position: Position, payload: bytes, previous: str = "") -> None:
        self.topic = topic
        self.position = position
        self.payload = payload
        self.previous = previous
        self._frame: bytes | None = None
        self._decoded: DecodedEvent | None = None

    @classmethod
    def of(cls, topic: str, epoch: str, entry: Entry) -> Event:
        """Return what a log's entry holds."""
        return cls(topic, Position(epoch, entry.seq, entry.tag), entry.payload, entry.previous)

    @property
    def frame(self) -> bytes:
        """The block on the wire, its position being its id."""
        if self._frame is None:
            self._frame = self.frame_as(str(self.position))
        return self._frame

    def frame_as(self, id: str) -> bytes:  # noqa: A002 - the field's own name
        """Return the block with another id: a cursor over several topics."""
        return b"id: %b\n%b\n" % (id.encode(), self.payload)

    @property
    def id(self) -> str:
        """The position as text: what continues behind this event, as `after=` or as a browser's `Last-Event-ID`."""
        return str(self.position)

    @property
    def event(self) -> str:
        """The event type; `message` where none was given."""
        return self._fields.event

    @property
    def data(self) -> str:
        """The data as text."""
        return self._fields.data

    def json(self) -> Any:
        """Return the data, read as JSON.

        Raises:
            json.JSONDecodeError: it is none.
        """
        return json.loads(self.data)

    @property
    def _fields(self) -> DecodedEvent:
        if self._decoded is None:
            self._decoded = _decode(self.payload)
        return self._decoded

    def __repr__(self) -> str:
        return f"<Event {self.topic} {self.position} {self.event}>"


def encode_payload(data: object, event: str | None, max_bytes: int) -> bytes:
    """Return an event's block without its id and its closing blank line.

    Raises:
        EncodeError: the wire format cannot carry it, it brings an id, its type is one of a control event, or it is
            larger than `max_bytes`.
    """
    if isinstance(data, ServerSentEvent):
        if event is not None or data.id is not None:
            raise EncodeError("a ServerSentEvent is published as it is, without event= and without an id: ids are ours")
        whole = data
    else:
        whole = ServerSentEvent("null" if data is None else data, event=event)
    if whole.event is not None and whole.event.startswith("stream-"):
        raise EncodeError(f"event={whole.event!r} is a control event's; give one that does not begin with 'stream-'")
    payload = encode(whole)[:-1]
    if len(payload) > max_bytes:
        raise EncodeError(
            f"the event has {len(payload)} bytes, and the hub takes {max_bytes}: publish where the data is to be "
            "fetched, or give Hub(max_event_bytes=…)"
        )
    return payload


def _decode(payload: bytes) -> DecodedEvent:
    decoded = Decoder().feed(payload + b"\n")
    # A block without data dispatches nothing: a retry or a comment, published as such.
    return decoded[0] if decoded else DecodedEvent("message", "", "")
