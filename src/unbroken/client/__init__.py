"""An event source for programs: reads an event stream over as many connections as it takes, and never loses its place.

    async with EventSource("https://example.com/feed") as events:
        async for event in events:
            print(event.event, event.data, event.last_event_id)

It reads with httpx2, or with a client of httpx2 or httpx that it is given. `SyncEventSource` is the same without
`async`.
"""

from unbroken.client.controls import Gap
from unbroken.client.event_source import EventSource
from unbroken.client.http import OutgoingRequest
from unbroken.client.options import DEFAULT_IDLE_TIMEOUT, RETRY_STATUSES
from unbroken.client.state import ReaderStats, ReadyState, StateChange
from unbroken.client.stores import FileStore, MemoryStore, Store
from unbroken.client.sync import SyncEventSource
from unbroken.wire import DecodedEvent

__all__ = [
    "DEFAULT_IDLE_TIMEOUT",
    "RETRY_STATUSES",
    "DecodedEvent",
    "EventSource",
    "FileStore",
    "Gap",
    "MemoryStore",
    "OutgoingRequest",
    "ReaderStats",
    "ReadyState",
    "StateChange",
    "Store",
    "SyncEventSource",
]
