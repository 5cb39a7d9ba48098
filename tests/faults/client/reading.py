"""One way to read with either client, so that every promise is kept by both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from unbroken.client import DecodedEvent, EventSource, ReaderStats, StateChange, SyncEventSource

__all__ = ["DEADLINE", "READERS", "Read", "Reading"]

DEADLINE = 20.0
"""Seconds after which a reading is ended, so that its test fails by what is missing."""


@dataclass(slots=True)
class Reading:
    """What a program has seen of a stream."""

    events: list[DecodedEvent] = field(default_factory=list)
    changes: list[StateChange] = field(default_factory=list)
    error: Exception | None = None
    stats: ReaderStats = field(default_factory=ReaderStats)
    last_event_id: str = ""

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.events]

    @property
    def states(self) -> str:
        """The states in their order: `o` for open, `c` for connecting again, `x` for closed."""
        return "".join({"open": "o", "connecting": "c", "closed": "x"}[change.state] for change in self.changes)

    @property
    def errors(self) -> list[type[Exception] | None]:
        """Why each connection or attempt came to its end."""
        return [type(change.error) if change.error else None for change in self.changes if change.state != "open"]

    @property
    def delays(self) -> list[float]:
        return [change.delay for change in self.changes if change.delay is not None]


class Read(Protocol):
    def __call__(
        self,
        url: str,
        *,
        leave_on: Callable[[StateChange], bool] = ...,
        make_client: Callable[[], Any] | None = None,
        **options: Any,
    ) -> Reading:
        """Read to the end, to an error, or to a state that `leave_on` says is enough; with a client of one's own."""


def _never(_: StateChange) -> bool:
    return False


def read_async(
    url: str,
    *,
    leave_on: Callable[[StateChange], bool] = _never,
    make_client: Callable[[], Any] | None = None,
    **options: Any,
) -> Reading:
    reading = Reading()

    async def on_state(change: StateChange) -> None:
        reading.changes.append(change)
        if leave_on(change):
            asyncio.get_running_loop().call_soon(readers[0].cancel)

    async def follow(events: EventSource) -> None:
        try:
            async with events:
                async for event in events:
                    reading.events.append(event)
        except Exception as error:
            reading.error = error
        finally:
            reading.stats, reading.last_event_id = events.stats, events.last_event_id

    async def main() -> None:
        async with (make_client or nullcontext)() as client:
            reader = asyncio.create_task(follow(EventSource(url, client=client, on_state=on_state, **_quick(options))))
            readers.append(reader)
            await asyncio.wait([reader], timeout=DEADLINE)
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
            assert client is None or not client.is_closed

    readers = list[asyncio.Task[None]]()
    asyncio.run(main())
    return reading


def read_sync(
    url: str,
    *,
    leave_on: Callable[[StateChange], bool] = _never,
    make_client: Callable[[], Any] | None = None,
    **options: Any,
) -> Reading:
    reading = Reading()

    def on_state(change: StateChange) -> None:
        reading.changes.append(change)
        if leave_on(change):
            source.close()

    def follow(source: SyncEventSource) -> None:
        try:
            with source as events:
                for event in events:
                    reading.events.append(event)
        except Exception as error:
            reading.error = error
        finally:
            reading.stats, reading.last_event_id = source.stats, source.last_event_id

    with (make_client or nullcontext)() as client:
        source = SyncEventSource(url, client=client, on_state=on_state, **_quick(options))
        deadline = threading.Timer(DEADLINE, source.close)
        deadline.start()
        follow(source)
        deadline.cancel()
        deadline.join()
        assert client is None or not client.is_closed
    return reading


def _quick(options: dict[str, Any]) -> dict[str, Any]:
    return {"reconnect_delay": 0, **options}


READERS: dict[str, Read] = {"async": read_async, "sync": read_sync}
