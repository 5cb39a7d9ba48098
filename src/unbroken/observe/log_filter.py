"""A filter for the tracebacks that a client's leaving causes in other libraries' code.

Servers and frameworks log them as their own failures ("Exception in ASGI
application"). Nothing is patched: the filter reads what the record and its
traceback say, and needs none of those libraries.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from traceback import walk_stack, walk_tb
from types import FrameType
from typing import Any, Final

import anyio

from unbroken.errors import CloseReason, StreamClosed
from unbroken.observe.text import printable

__all__ = ["ClientLeavingFilter"]

LEFT: Final = (ConnectionError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What code that writes to a client, or reads from it, raises when the client has left."""

VANISHED: Final = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})

SERVERS: Final = (
    "uvicorn", "uvicorn_worker", "hypercorn", "granian", "daphne", "gunicorn", "starlette", "fastapi", "sse_starlette",
    "mcp.server", "unbroken.stream", "unbroken.servers", "unbroken.compat",
)  # fmt: skip
"""Modules whose network code speaks with the client. Whatever else fails is the application's own business."""

PLUMBING: Final = frozenset({"anyio", "uvloop", "trio", "asgiref", "twisted", *sys.stdlib_module_names})
"""Packages that raise on behalf of whoever called them."""
PASSING_ON: Final = "starlette.concurrency"

STREAMING: Final = (
    "sse_starlette", "mcp.server.sse", "mcp.server.streamable_http", "unbroken.stream.exchange",
    "unbroken.stream.outlet", "unbroken.stream.producer", "unbroken.stream.threaded",
)  # fmt: skip
"""Modules that do nothing but stream."""
STREAMING_FUNCTIONS: Final = frozenset({
    ("starlette.responses", "stream_response"),
    ("fastapi.routing", "_sse_producer_cm"),
    ("fastapi.routing", "_keepalive_inserter"),
    ("fastapi.routing", "_sse_with_checkpoints"),
})  # fmt: skip

SEND_WARNING: Final = "socket.send() raised exception."
GRANIANS_TEXT: Final = "Application callable raised an exception"
CONNECTION_CALLBACK: Final = "Unhandled exception in client_connected_cb"

MARK: Final = "unbroken.leaving_logged"
"""Left in a request's scope by its line, since asyncio would log another for each further write."""

_COPIES: Final = sys.version_info >= (3, 12)
"""A filter may put another record in the place of the one it was given."""


@dataclass(frozen=True, slots=True)
class _Leaving:
    """What is known of a client's leaving."""

    reason: CloseReason
    error: str
    scope: dict[str, Any]

    def as_dict(self) -> dict[str, object]:
        client = self.scope.get("client")
        return {
            "reason": str(self.reason),
            "method": self.scope.get("method"),
            "path": self.scope.get("path"),
            "route": getattr(self.scope.get("route"), "path", None),
            "client": f"{client[0]}:{client[1]}" if client else None,
            "error": self.error,
        }


class ClientLeavingFilter(logging.Filter):
    """Turns the traceback that a client's leaving causes in a stream into one line, and touches nothing else.

        logging.getLogger("uvicorn.error").addFilter(ClientLeavingFilter())

    A record is changed if all of its exceptions say that a peer has gone, if all were
    raised by a server's or framework's own code, and if that was about a stream. The
    same exception out of the application's network code (a database, another
    service) stays what it was, with its traceback. The line has the request and the
    reason, and as its attribute `stream` the same as plain data.

    Give it to the logger that is named in the log. On a handler it works too, if the
    handler's level lets the new one pass; before Python 3.12 the handlers after it
    get the changed record as well. `removeFilter` undoes it.

    Args:
        level: The new level, INFO by default. Where the logger does not log it, the
            record is dropped.
    """

    def __init__(self, *, level: int = logging.INFO) -> None:
        super().__init__()
        self._level = level

    def filter(  # type: ignore[override] # wider from Python 3.12 on
        self, record: logging.LogRecord
    ) -> bool | logging.LogRecord:
        """Change `record`, or let it pass as it is."""
        leaving = None
        if record.levelno >= logging.WARNING:
            with contextlib.suppress(Exception):  # whatever the frames' locals are up to: a log must not raise
                leaving = _leaving(record)
        return True if leaving is None else self._tell(record, leaving)

    def _tell(self, record: logging.LogRecord, leaving: _Leaving) -> bool | logging.LogRecord:
        if not logging.getLogger(record.name).isEnabledFor(self._level) or _is_told(record, leaving):
            return False
        told = copy.copy(record) if _COPIES else record
        stream = leaving.as_dict()
        told.levelno, told.levelname = self._level, logging.getLevelName(self._level)
        told.msg = "%s %s %s: %s (%s)"
        told.args = tuple(
            printable(str(stream[name] or "-")) for name in ("client", "method", "path", "reason", "error")
        )
        told.exc_info = told.exc_text = told.stack_info = None
        told.__dict__["stream"] = stream
        return told if _COPIES else True


def _is_told(record: logging.LogRecord, leaving: _Leaving) -> bool:
    """Say whether this request has its line, which it has from now on."""
    if record.msg != SEND_WARNING:
        return False
    told = MARK in leaving.scope
    leaving.scope[MARK] = True
    return told


def _leaving(record: logging.LogRecord) -> _Leaving | None:
    text = str(record.msg)
    # granian logs from native code, the traceback as text; it does so while its Python code handles the exception.
    exc_info = sys.exc_info() if text.startswith(GRANIANS_TEXT) else record.exc_info
    if exc_info and exc_info[1] is not None:
        return _of_exception(exc_info[1], text)
    if record.name == "asyncio" and record.msg == SEND_WARNING:
        return _of_stack()
    return None


def _of_exception(error: BaseException, text: str) -> _Leaving | None:
    leaves = list(_leaves(error))
    if not all(_says_left(leaf) and _is_servers(leaf) for leaf in leaves):
        return None
    frames = [*_frames(error), *(frame for leaf in leaves for frame in _frames(leaf))]
    # No response is in the traceback of what failed in the server's own reading: there is no application in it either.
    in_stream = text.startswith(CONNECTION_CALLBACK) or any(isinstance(leaf, StreamClosed) for leaf in leaves)
    if not in_stream and not any(map(_streams, frames)):
        return None
    return _Leaving(_reason(leaves[0]), type(leaves[0]).__name__, _scope(frames))


def _of_stack() -> _Leaving | None:
    """Look at the code that wrote, which is still at it: asyncio warns from inside of the write."""
    calls = [frame for frame, _ in walk_stack(sys._getframe())]
    frames = [frame for frame in calls if _module(frame) not in {__name__, "logging"}][::-1]
    if not _owned(frames) or not any(map(_streams, frames)):
        return None
    return _Leaving(CloseReason.WRITE_FAILED, SEND_WARNING.rstrip("."), _scope(frames))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _says_left(error: BaseException) -> bool:
    if isinstance(error, LEFT) or _is_starlettes(error):
        return True
    if isinstance(error, OSError):
        return error.errno in VANISHED
    # uvloop has no exception of its own for a transport that is gone.
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


def _is_starlettes(error: BaseException) -> bool:
    kind = type(error)
    return kind.__name__ == "ClientDisconnect" and kind.__module__ == "starlette.requests"


def _is_servers(error: BaseException) -> bool:
    """Say whether it came about between a server and its client."""
    if isinstance(error, StreamClosed):
        return True  # ours, wherever the generator stood at which it was thrown
    if _is_starlettes(error) and isinstance(error.__context__, OSError):
        # On servers of ASGI 2.4 Starlette makes it of any OSError of the stream, also of the application's own.
        return _is_servers(error.__context__)
    return _owned(_frames(error))


def _owned(frames: list[FrameType]) -> bool:
    """Say whether the innermost code that is not mere plumbing is a server's."""
    for frame in reversed(frames):
        name = _module(frame)
        if name.partition(".")[0] not in PLUMBING and name != PASSING_ON:
            return _within(name, SERVERS)
    return False


def _streams(frame: FrameType) -> bool:
    name = _module(frame)
    if (name, frame.f_code.co_name) in STREAMING_FUNCTIONS or _within(name, STREAMING):
        return True
    return _within(name, SERVERS) and _is_event_stream(frame.f_locals.get("self"))


def _is_event_stream(response: object) -> bool:
    """Say whether it is a response (also one that a middleware put around another) of that content type."""
    headers = getattr(response, "raw_headers", None) or ()
    return any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def _reason(error: BaseException) -> CloseReason:
    if isinstance(error, StreamClosed):
        return error.reason
    return CloseReason.WRITE_FAILED if isinstance(error, OSError | RuntimeError) else CloseReason.CLIENT_CLOSED


def _scope(frames: list[FrameType]) -> dict[str, Any]:
    """Return the request's ASGI scope out of the frames' locals, the innermost; empty if there is none."""
    for frame in reversed(frames):
        if _within(_module(frame), SERVERS):
            names = frame.f_locals
            for scope in (names.get("scope"), getattr(names.get("self"), "scope", None)):  # uvicorn's cycle has it
                if isinstance(scope, dict) and "path" in scope:
                    return scope
    return {}


def _frames(error: BaseException) -> list[FrameType]:
    """Return the frames of its traceback, the innermost last."""
    return [frame for frame, _ in walk_tb(error.__traceback__)]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
