"""httpx2 and httpx, alike but for their types: a transport answers in the types of whoever asked."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from unbroken.errors import MissingExtraError

try:
    import httpx2
except ImportError as exc:
    raise MissingExtraError("httpx2", "client") from exc

__all__ = ["family_of", "httpx2", "read_timeout", "stream_class"]


def family_of(request: httpx2.Request) -> Any:  # Any: a module, whose names are used as httpx2's
    """Return the library that a request belongs to: httpx2, or the httpx that a user's own client is of."""
    return httpx2 if isinstance(request, httpx2.Request) else importlib.import_module("httpx")


def read_timeout(request: httpx2.Request) -> float | None:
    """Return the seconds that the client waits for the next bytes; None where it waits for ever."""
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout


@functools.cache
def stream_class(body: type, *bases: type) -> Any:
    """Return `body` as a byte stream of one of the libraries: each takes only streams that inherit from its own."""
    return type(body.__name__, (body, *bases), {})
