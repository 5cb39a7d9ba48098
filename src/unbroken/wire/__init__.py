"""The wire format: events to bytes and bytes to events, without any I/O, clock or chance."""

from unbroken.wire.decoder import DecodedEvent, Decoder
from unbroken.wire.encoder import HEARTBEAT, encode, encode_comment, encode_control, encode_item
from unbroken.wire.event import ServerSentEvent

__all__ = [
    "HEARTBEAT",
    "DecodedEvent",
    "Decoder",
    "ServerSentEvent",
    "encode",
    "encode_comment",
    "encode_control",
    "encode_item",
]
