"""The scope of a request, as a server would hand it to an application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

from unbroken.errors import ConfigurationError

__all__ = ["Headers", "build_scope"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_EVERY_REQUEST = {"host": "testserver", "accept": "text/event-stream"}


def build_scope(
    path: str,
    *,
    method: str,
    headers: Headers,
    query: str | Mapping[str, str],
    body: bytes,
    client: tuple[str, int] | None,
    spec_version: str,
) -> dict[str, Any]:
    """Return the ASGI scope of an HTTP/1.1 request.

    Raises:
        ConfigurationError: The path is none, or has a query in it.
    """
    if not path.startswith("/") or "?" in path:
        raise ConfigurationError(f"path={path!r} is no path: begin it with '/', and give what follows '?' as query=")
    query_string = query if isinstance(query, str) else urlencode(query)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": quote(path, safe="/%").encode("ascii"),
        "query_string": query_string.encode("ascii"),
        "root_path": "",
        "headers": _raw_headers(headers, body),
        "client": client,
        "server": ("testserver", 80),
        "state": {},
    }


def _raw_headers(headers: Headers, body: bytes) -> list[tuple[bytes, bytes]]:
    given = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in given}
    defaults = _EVERY_REQUEST | ({"content-length": str(len(body))} if body else {})
    added = [(name, value) for name, value in defaults.items() if name not in names]
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in added + given]
