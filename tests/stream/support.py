"""What the tests of streams share: a response whose record is kept."""

from __future__ import annotations

from typing import Any

from unbroken import EventSourceResponse
from unbroken.observe import StreamRecord


class Recorded:
    """A response as an application, with the records of its ends."""

    def __init__(self, content: Any, **options: Any) -> None:
        self.records: list[StreamRecord] = []
        self.response = EventSourceResponse(content, on_close=self.records.append, **options)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.response(scope, receive, send)

    @property
    def record(self) -> StreamRecord:
        """The one record: a stream ends exactly once."""
        assert len(self.records) == 1, self.records
        return self.records[0]
