"""Server-Sent Events for FastAPI and Starlette that do not break."""

from unbroken.errors import ClientDisconnected, CloseReason, EncodeError, ServerClosing, StreamClosed
from unbroken.hub.hub import Hub
from unbroken.stream.drain import drain
from unbroken.stream.guard import EventStreamGuard
from unbroken.stream.limits import Limits
from unbroken.stream.response import EventSourceResponse
from unbroken.stream.scope import while_connected
from unbroken.wire import ServerSentEvent

__all__ = [
    "ClientDisconnected",
    "CloseReason",
    "EncodeError",
    "EventSourceResponse",
    "EventStreamGuard",
    "Hub",
    "Limits",
    "ServerClosing",
    "ServerSentEvent",
    "StreamClosed",
    "drain",
    "while_connected",
]
