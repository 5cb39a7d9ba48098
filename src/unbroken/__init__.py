"""Server-Sent Events for FastAPI and Starlette that do not break."""

from unbroken.errors import ClientDisconnected, CloseReason, EncodeError, ServerClosing, StreamClosed
from unbroken.stream.guard import EventStreamGuard
from unbroken.stream.response import EventSourceResponse
from unbroken.stream.scope import while_connected
from unbroken.wire import ServerSentEvent

__all__ = [
    "ClientDisconnected",
    "CloseReason",
    "EncodeError",
    "EventSourceResponse",
    "EventStreamGuard",
    "ServerClosing",
    "ServerSentEvent",
    "StreamClosed",
    "while_connected",
]
