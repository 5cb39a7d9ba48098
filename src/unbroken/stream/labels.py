"""What a stream is called in records, from what the framework left in its scope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from starlette.routing import compile_path

from unbroken.observe import logger
from unbroken.stream.outlet import Message

__all__ = ["client_of", "route_of"]

REMEMBERED = 1024
"""Endpoints whose templates are remembered. When there are more, all are looked for again."""

# Neither need be hashable. Both are kept in the value, so that their ids stay their own.
_remembered: dict[tuple[int, int], tuple[Any, Any, tuple[str, ...]]] = {}


def client_of(scope: Message) -> str | None:
    """Return the client's host and port, or None over a Unix socket."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else None


def route_of(scope: Message) -> str | None:
    """Return the template of the path, prefixes of mounts and routers included; None where nobody has routed.

    The template and not the path: what is counted by it must not grow with every id in a URL.
    """
    route = scope.get("route")
    # The endpoint first: `route` is left alone by older Starlettes, and by some routers inside of one that sets it.
    target = scope.get("endpoint") or route
    if target is None:
        return None
    templates = _templates(scope.get("router"), target)
    if not templates:
        return getattr(route, "path", None)
    return templates[0] if len(templates) == 1 else _matching(templates, scope)


def _templates(router: Any, target: Any) -> tuple[str, ...]:
    key = (id(router), id(target))
    entry = _remembered.get(key)
    if entry is None:
        if len(_remembered) >= REMEMBERED:
            _remembered.clear()  # one step, so that no lock is needed between the loops of several threads
        try:
            # An endpoint may have several routes, and a router several prefixes.
            found = tuple(dict.fromkeys(_search(router, target)))
        except Exception as exc:  # noqa: BLE001 - of others' code: a stream's name is not worth its connection
            logger.debug("the template of a route cannot be found: %r", exc)
            return ()
        entry = _remembered[key] = (router, target, found)
    return entry[2]


def _search(router: Any, target: Any) -> Iterator[str]:
    """Find the routes that lead to `target`, and join the prefixes."""
    for route in getattr(router, "routes", None) or ():
        yield from _search_route(route, target)


def _search_route(route: Any, target: Any) -> Iterator[str]:
    included = getattr(route, "effective_route_contexts", None)
    if included is not None:
        yield from _search_included(included(), target)
        return
    path = str(getattr(route, "path", ""))
    if _is_of(target, route):
        yield path
    yield from (path + below for below in _search(route, target))


def _search_included(contexts: Any, target: Any) -> Iterator[str]:
    """Look through what newer FastAPIs keep of an included router: its routes, each with the prefixes before it."""
    for context in contexts:
        if context.starlette_route is not None:
            yield from _search_route(context.starlette_route, target)
        elif _is_of(target, context.original_route):
            yield str(context.path)


def _is_of(target: Any, route: Any) -> bool:
    """Whether `target` is what a route leaves in the scope: its endpoint, the application of a mount, or itself."""
    return any(target is mine for mine in (getattr(route, "endpoint", None), getattr(route, "app", None), route))


def _matching(templates: tuple[str, ...], scope: Message) -> str | None:
    """Choose by the path. It may begin with a prefix that a proxy takes off, so the longest match from its end wins."""
    root, path = str(scope.get("root_path", "")), str(scope["path"])
    path = path if path.startswith(root) else root + path  # older Starlettes take the mount's prefix off
    matches = ((re.search(compile_path(template)[0].pattern[1:], path), template) for template in templates)
    return min(((match.start(), template) for match, template in matches if match), default=(0, None))[1]
