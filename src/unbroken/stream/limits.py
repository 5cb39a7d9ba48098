"""How many streams may be open: in all, for each client address, and for each key."""

from __future__ import annotations

import inspect
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse

from unbroken.errors import ConfigurationError
from unbroken.observe import Refusal, tell
from unbroken.stream.labels import client_of, route_of
from unbroken.stream.outlet import Message, Send

__all__ = ["Key", "Limits", "Place", "refuse"]

Key = Callable[[HTTPConnection], Hashable | Awaitable[Hashable]]


class Limits:
    """Bounds the streams that are open at once. Who comes too many is refused; nobody is put out for another.

        limits = Limits(total=5000, per_client=20, per_key=5, key=lambda connection: connection.user.id)

    One object counts all streams that it is given to, in this process. With several
    worker processes each counts its own. A browser's `EventSource` gives up for good
    at a refusal, as at any answer but 200.

    Args:
        total: Streams in all; None for any number.
        per_client: Streams of one client address. Behind a proxy every client has the proxy's, unless the server
            is told to believe `X-Forwarded-For`. Streams over a Unix socket have no address, and are not counted.
        per_key: Streams of one key.
        key: Called with the connection (headers, `user`, `state`) and returns the key: a user, a tenant. May be a
            coroutine function. None as a key is not counted. What it raises is raised to the framework. Without
            `per_key` it bounds nothing, and stands in the records.
        retry_after: Seconds, told to whoever is refused in `Retry-After`.

    Raises:
        ConfigurationError: a limit is no positive integer, `retry_after` no time, or `per_key` is given without
            `key`; later, when `key` returns what cannot be counted.
    """

    def __init__(
        self,
        *,
        total: int | None = None,
        per_client: int | None = None,
        per_key: int | None = None,
        key: Key | None = None,
        retry_after: float = 5.0,
    ) -> None:
        if per_key is not None and key is None:
            raise ConfigurationError(f"per_key={per_key} has nothing to count by: give key=, a callable")
        self._allowed = {"total": _limit("total", total), "client": _limit("per_client", per_client)}
        self._allowed["key"] = _limit("per_key", per_key)
        self._key = key
        self.retry_after = _wait("retry_after", retry_after)
        self._open: Counter[tuple[str, Hashable]] = Counter()
        self._lock = threading.Lock()  # streams may be on loops in several threads

    def open_streams(self, limit: str = "total", of: Hashable = None) -> int:
        """Return how many streams are open: in all, or for `"client"` or `"key"` those of the address or key `of`.

        May be called from any thread.
        """
        return self._open[limit, of]

    async def admit(self, scope: Message) -> Place | Refusal:
        """Count a stream in and return its place, which must be given back; or say which limit forbids it."""
        key = await self._key_of(scope)
        address = scope["client"][0] if scope.get("client") else None
        counted: list[tuple[str, Hashable]] = [("total", None)]
        counted += [("client", address)] if address is not None else []
        counted += [("key", key)] if key is not None else []
        with self._lock:
            for limit, of in counted:
                allowed = self._allowed[limit]
                if allowed is not None and self._open[limit, of] >= allowed:
                    return _refusal(scope, limit, allowed, key)
            self._open.update(counted)
        return Place(self, tuple(counted), key)

    async def _key_of(self, scope: Message) -> Hashable:
        if self._key is None:
            return None
        key = self._key(HTTPConnection(scope))
        return _countable(await key if inspect.isawaitable(key) else key)

    def _give_back(self, counted: tuple[tuple[str, Hashable], ...]) -> None:
        with self._lock:
            self._open.subtract(counted)
            for entry in counted:
                if not self._open[entry]:
                    del self._open[entry]  # or the table would keep every address that ever was


class Place:
    """A stream that is counted."""

    __slots__ = ("_counted", "_limits", "key")

    def __init__(self, limits: Limits, counted: tuple[tuple[str, Hashable], ...], key: Hashable) -> None:
        self._limits: Limits | None = limits
        self._counted = counted
        self.key = key

    def give_back(self) -> None:
        """Count the stream out; once, however often it is called."""
        limits, self._limits = self._limits, None
        if limits is not None:
            limits._give_back(self._counted)


async def refuse(refusal: Refusal, retry_after: float, scope: Message, receive: Any, send: Send) -> None:
    """Answer 503, and tell the observers."""
    tell("refused", refusal)
    headers = {"retry-after": str(math.ceil(retry_after)), "cache-control": "no-store"}
    text = f"Too many event streams are open ({refusal.limit}: {refusal.allowed}). Try again later.\n"
    await PlainTextResponse(text, 503, headers)(scope, receive, send)


def _limit(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(f"{name}={value!r} is no limit: give an integer of 1 or more, or None for none")
    return value


def _wait(name: str, value: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ConfigurationError(f"{name}={value!r} is not a time: give seconds, 0 or more")
    return value


def _countable(key: Any) -> Hashable:
    """Refuse what only half of the counting would bear."""
    try:
        hash(key)
    except TypeError:
        raise ConfigurationError(
            f"key returned a {type(key).__name__}, by which nothing can be counted: return a str, an int, a tuple"
        ) from None
    return key  # type: ignore[no-any-return]


def _refusal(scope: Message, limit: str, allowed: int, key: Hashable) -> Refusal:
    return Refusal(
        limit=limit,
        allowed=allowed,
        method=scope["method"],
        path=scope["path"],
        route=route_of(scope),
        client=client_of(scope),
        key=key,
    )
