"""The clients: how each is told to read a stream, and where its events have what the standard gives an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Any

__all__ = ["READERS", "REFERENCE", "Fields", "Reader", "available"]

REFERENCE = "unbroken"
_READ_TIMEOUT = 60.0

Fields = tuple[str, str, str]
"""Event type, data and last event ID. Where a client has None it is taken for what the standard has there."""


class EndedError(Exception):
    """The body has ended: raised from a callback, so that a client does not wait and reconnect."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One client: its library, what gives a stream's events, and where an event has the ID."""

    library: str
    events: Callable[[str], Iterator[Any] | AsyncIterator[Any]]
    id: str = "last_event_id"

    def read(self, url: str, most: int | None = None) -> list[Any]:
        """Read the events of a stream to its end, or `most` of them."""
        events: list[Any] = []
        source = self.events(url)
        with suppress(EndedError):
            if isinstance(source, AsyncIterator):
                asyncio.run(_take(source, events, most))
            else:
                events.extend(islice(source, most))
        return events

    def fields(self, event: Any) -> Fields:
        kind = event.type if hasattr(event, "type") else event.event
        return kind or "message", event.data, getattr(event, self.id) or ""


async def _take(source: AsyncIterator[Any], events: list[Any], most: int | None) -> None:
    async with asyncio.timeout(_READ_TIMEOUT):
        async for event in source:
            events.append(event)
            if len(events) == most:
                break
        await source.aclose()  # type: ignore[attr-defined]


def _end(*_: object) -> None:
    raise EndedError


async def _unbroken(url: str) -> AsyncIterator[Any]:
    from unbroken.client import EventSource
    from unbroken.errors import StreamTruncated

    async with EventSource(url, reconnect="never") as events:
        with suppress(StreamTruncated):
            async for event in events:
                yield event


def _unbroken_sync(url: str) -> Iterator[Any]:
    from unbroken.client import SyncEventSource
    from unbroken.errors import StreamTruncated

    with SyncEventSource(url, reconnect="never") as events, suppress(StreamTruncated):
        yield from events


async def _httpx2(url: str) -> AsyncIterator[Any]:
    import httpx2

    async with httpx2.AsyncClient() as client, client.sse(url) as source:
        async for event in source:
            yield event


def _httpx2_sync(url: str) -> Iterator[Any]:
    import httpx2

    with httpx2.Client() as client, client.sse(url) as source:
        yield from source


async def _httpx_sse(url: str) -> AsyncIterator[Any]:
    import httpx
    from httpx_sse import aconnect_sse

    async with httpx.AsyncClient() as client, aconnect_sse(client, "GET", url) as source:
        async for event in source.aiter_sse():
            yield event


def _httpx_sse_sync(url: str) -> Iterator[Any]:
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client() as client, connect_sse(client, "GET", url) as source:
        yield from source.iter_sse()


def _launchdarkly(url: str) -> Iterator[Any]:
    from ld_eventsource import SSEClient
    from ld_eventsource.config import ConnectStrategy, ErrorStrategy

    client = SSEClient(ConnectStrategy.http(url), error_strategy=ErrorStrategy.always_fail())
    try:
        yield from client.events
    finally:
        client.close()


def _sseclient_py(url: str) -> Iterator[Any]:
    import urllib3
    from sseclient import SSEClient

    with urllib3.PoolManager() as pool, pool.request("GET", url, preload_content=False) as response:
        yield from SSEClient(response).events()


def _requests_sse(url: str) -> Iterator[Any]:
    from requests_sse import EventSource

    with EventSource(url, on_error=_end) as events:
        yield from events


async def _aiohttp_sse_client(url: str) -> AsyncIterator[Any]:
    from aiohttp_sse_client.client import EventSource

    async with EventSource(url, on_error=_end) as events:
        async for event in events:
            yield event


def _aiosseclient(url: str) -> AsyncIterator[Any]:
    from aiosseclient import aiosseclient

    return aiosseclient(url)


async def _ry(url: str) -> AsyncIterator[Any]:
    import ry

    async with (await ry.fetch(url)).sse(max_event_size=2**24) as events:
        async for event in events:
            yield event


def _ry_sync(url: str) -> Iterator[Any]:
    import ry

    with ry.fetch_sync(url).sse(max_event_size=2**24) as events:
        yield from events


READERS: dict[str, Reader] = {
    REFERENCE: Reader("unbroken", _unbroken),
    "unbroken, sync": Reader("unbroken", _unbroken_sync),
    "httpx2": Reader("httpx2", _httpx2, "id"),
    "httpx2, sync": Reader("httpx2", _httpx2_sync, "id"),
    "httpx-sse": Reader("httpx_sse", _httpx_sse, "id"),
    "httpx-sse, sync": Reader("httpx_sse", _httpx_sse_sync, "id"),
    "launchdarkly-eventsource": Reader("ld_eventsource", _launchdarkly),
    "sseclient-py": Reader("sseclient", _sseclient_py, "id"),
    "requests-sse": Reader("requests_sse", _requests_sse),
    "aiohttp-sse-client": Reader("aiohttp_sse_client", _aiohttp_sse_client),
    "aiosseclient": Reader("aiosseclient", _aiosseclient, "id"),
    "ry (Rust)": Reader("ry", _ry),
    "ry (Rust), sync": Reader("ry", _ry_sync),
}


def available() -> list[str]:
    return [name for name, reader in READERS.items() if find_spec(reader.library)]
