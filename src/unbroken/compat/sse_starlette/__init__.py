"""The names of sse-starlette 3.x: write `unbroken.compat.sse_starlette` for `sse_starlette` in each import.

    from unbroken.compat.sse_starlette import EventSourceResponse, ServerSentEvent

Its modules `sse` and `event` are here too. Arguments, their order and defaults,
headers and the bytes of every event are sse-starlette's; the stream underneath
is unbroken's. What is not kept, and why:

* `Connection: keep-alive` is not sent: HTTP/2 forbids the header, and clients drop a stream that has it.
* NUL in `id` or `event`, a `retry` that is negative or a bool, and a `sep` of an event that ends no line raise
  `EncodeError`: a client would ignore the field, or read another event than was meant. CR and LF in `id` and
  `event` are dropped, as before.
* A ping comes after `ping` seconds of silence, not every `ping` seconds: silence is what makes a hop drop a stream.
* At a `yield` the client's leaving is raised as `ClientDisconnected`, where before the generator was closed at some
  later time. That is an `Exception`, so an `except Exception` around a `yield` sees it. At an `await` there is one
  cancellation, where before each further `await` of the cleanup was cancelled too.
* What the generator yields before it fails is sent before the failure; then the last event is `stream-error`.
  A stream that the server ends has `stream-end` as its last event.
* When `send_timeout` passes, the connection is aborted and the generator told; nothing is raised to the server, so
  `SendTimeoutError` is a name only.
* `client_close_handler_callable` is called when the client has left, and not after a stream that completed too.
  What it raises is logged and does not fail the response.
* uvicorn is not patched, and no signal handler is searched for a server: `AppStatus.should_exit = True` ends the
  streams, at once, but the application has to set it.
* asyncio only, no trio; and a stream of events cannot deny a WebSocket.
"""

from unbroken.compat.sse_starlette.event import JSONServerSentEvent, ServerSentEvent, ensure_bytes
from unbroken.compat.sse_starlette.sse import (
    AppStatus,
    AsyncContentStream,
    Content,
    ContentStream,
    EventSourceResponse,
    SendTimeoutError,
    SyncContentStream,
)

__all__ = [
    "AppStatus",
    "AsyncContentStream",
    "Content",
    "ContentStream",
    "EventSourceResponse",
    "JSONServerSentEvent",
    "SendTimeoutError",
    "ServerSentEvent",
    "SyncContentStream",
    "ensure_bytes",
]
