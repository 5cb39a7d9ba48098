"""What a stream is called in records, from what the framework left in its scope."""

from __future__ import annotations

from typing import Any

from unbroken.stream.outlet import Message

__all__ = ["client_of", "route_of"]

REMEMBERED = 1024
"""Routes whose template is remembered. An application with more has its first ones looked for again."""

# A route cannot be hashed. It is kept in the value, so that its id stays its own.
_templates: dict[tuple[int, int], tuple[Any, Any, str | None]] = {}


def client_of(scope: Message) -> str | None:
    """Return the client's host and port, or None over a Unix socket."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else None


def route_of(scope: Message) -> str | None:
    """Return the template of the path, mounted prefixes included; None where nobody has routed.

    The template and not the path: what is counted by it must not grow with every id in a URL.
    """
    router, target = scope.get("router"), scope.get("route") or scope.get("endpoint")
    if target is None:
        return None
    key = (id(router), id(target))
    if key not in _templates:
        if len(_templates) >= REMEMBERED:
            _templates.pop(next(iter(_templates)))
        _templates[key] = (router, target, _template(router, target) or getattr(target, "path", None))
    return _templates[key][2]


def _template(router: Any, target: Any) -> str | None:
    """Find a route, or the route of an endpoint (older Starlette leaves only that), and join the prefixes."""
    for route in getattr(router, "routes", None) or ():
        path = str(getattr(route, "path", ""))
        if route is target or getattr(route, "endpoint", route) is target:
            return path
        below = _template(route, target)
        if below is not None:
            return path + below
    return None
