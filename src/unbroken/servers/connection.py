"""The connection underneath an ASGI response, as far as one can reach it.

ASGI has no word for it: no abort, no look at the socket, no measure of what
still waits to be sent. What a server's own objects offer instead is looked up
here, without patching any of them, and only where a stream needs it.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from typing import Any, Protocol

__all__ = ["Connection", "is_plain", "layers", "own_send"]

Scope = MutableMapping[str, Any]

LAYERS = 50
"""Middlewares that are looked through for the server's own `send`, so that a cycle ends."""

NAMES = ("send", "_send", "inner_send", "original_send", "asgi_send")
"""What middlewares call the `send` that they wrap."""


SERVERS = frozenset({"uvicorn", "hypercorn", "daphne", "granian", "_granian"})
PLAIN = frozenset({
    "starlette.middleware.errors", "starlette._exception_handler", "starlette.middleware.cors",
    "starlette.middleware.sessions", "unbroken.stream.guard",
})  # fmt: skip
"""Modules whose `send` looks at the message and passes it on."""


class Connection(Protocol):
    """What may be asked and wanted of a connection. Where it cannot be reached, the harmless answer is given."""

    takes_any_amount: bool
    """The server accepts writes without ever waiting for the client."""

    def is_alive(self) -> bool:
        """Whether the connection is still there; True where that cannot be seen."""
        ...

    def is_closed(self) -> bool:
        """Whether the server knows that it is gone, though it may never say so; asked before each write."""
        ...

    def backlog_bytes(self) -> int:
        """Bytes that the server has accepted and not passed on, where it takes any amount; else 0."""
        ...

    def acknowledged_bytes(self) -> int:
        """A number that grows while the client takes something, and only then; always 0 where that cannot be seen."""
        ...

    def abort(self) -> None:
        """Break it now, without waiting for what is not yet sent. On HTTP/2: this stream of it."""
        ...

    def truncate(self) -> None:
        """End the response visibly incomplete, where an exception raised to the server does not do that."""
        ...


def layers(send: Any) -> Iterator[Any]:
    """Yield `send` and what it wraps, from the outside in; the server's own is among them where it can be reached.

    Middlewares hold it in a closure (Starlette's own, FastAPI's), in an attribute
    (responders such as GZip's) or in a partial. One that passes messages on by
    a queue (`BaseHTTPMiddleware`) cannot be looked through.
    """
    for _ in range(LAYERS):
        if send is None:
            return
        yield send
        send = _wrapped_by(send)


def is_plain(send: Any) -> bool:
    """Whether between `send` and the server's own there is nothing that may open a scope while it sends."""
    return all(_is_known(layer) for layer in layers(send))


def own_send(send: Any) -> Any:
    """Return the server's own `send` for the bodies of a response that has begun; None where a body must not pass by.

    What stands in between has then had its look at the start, and passes bodies on as they are. It must be
    a coroutine function: a `send` that returns something else makes each write wait (granian).
    """
    for layer in layers(send):
        if _is_of_server(layer):
            # The first of them: what a server's own `send` wraps in turn (hypercorn's) takes no ASGI messages.
            return layer if inspect.iscoroutinefunction(layer) else None
        if _module_of(layer) not in PLAIN:
            return None
    return None


def _is_known(layer: Any) -> bool:
    return _is_of_server(layer) or _module_of(layer) in PLAIN


def _is_of_server(layer: Any) -> bool:
    return _module_of(layer).partition(".")[0] in SERVERS


def _module_of(layer: Any) -> str:
    layer = layer.func if isinstance(layer, partial) else layer
    owner = getattr(layer, "__self__", layer)
    return str(owner.__module__ if isinstance(owner, types.FunctionType) else type(owner).__module__)


def _wrapped_by(send: Any) -> Any:
    if isinstance(send, types.FunctionType):
        return _from_closure(send)
    if isinstance(send, partial):
        return next((value for name in NAMES if callable(value := send.keywords.get(name))), None)
    owner = getattr(send, "__self__", send)
    if isinstance(owner, types.ModuleType):
        return None
    # Only objects that wrap an application wrap its `send` too.
    if not hasattr(owner, "app"):
        return None
    return next((value for name in NAMES if callable(value := getattr(owner, name, None)) and value != send), None)


def _from_closure(function: types.FunctionType) -> Callable[..., Any] | None:
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    for name in NAMES:
        if name in cells:
            try:
                value = cells[name].cell_contents
            except ValueError:  # not yet, or no longer, bound
                continue
            if callable(value):
                return value  # type: ignore[no-any-return]
    return None
