"""What the tests of the guard share: an application under one, and applications that speak plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from unbroken import EventStreamGuard
from unbroken.observe import StreamRecord
from unbroken.testing import DrivenStream, open_stream, run_with_virtual_clock

App = Callable[[Any, Any, Any], Awaitable[None]]

CONTENT_TYPE = (b"content-type", b"text/event-stream")
START = {"type": "http.response.start", "status": 200, "headers": [CONTENT_TYPE]}
END = b'event: stream-end\ndata: {"reason":"%s"}\n\n'
ERROR = b'event: stream-error\ndata: {"reason":"producer_error"}\n\n'


def piece(body: bytes, more_body: bool = True) -> dict[str, Any]:
    """Return a message with a piece of the body."""
    return {"type": "http.response.body", "body": body, "more_body": more_body}


class Guarded:
    """An application under a guard, the records of its streams, and what is left of cancellations after each."""

    def __init__(self, app: App, **options: Any) -> None:
        self.records: list[StreamRecord] = []
        self.cancelling: list[int] = []
        self.guard = EventStreamGuard(app, on_close=self.records.append, **options)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self.guard(scope, receive, send)
        finally:
            self.cancelling.append(task.cancelling())

    @property
    def record(self) -> StreamRecord:
        """The one record: a stream ends exactly once."""
        assert len(self.records) == 1, self.records
        return self.records[0]


def sending(*bodies: bytes | BaseException, waits: bool = False) -> App:
    """Return an application that sends these pieces and raises what is an exception; it ends the body, or waits."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for body in bodies:
            if isinstance(body, BaseException):
                raise body
            await send(piece(body))
        if waits:
            await asyncio.Event().wait()
        await send(piece(b"", more_body=False))

    return app


async def no_other_tasks() -> None:
    """Wait until no task is left but the test's, and the one that sse-starlette keeps for each loop."""
    async with asyncio.timeout(5):
        while len([task for task in asyncio.all_tasks() if "_shutdown_watcher" not in repr(task.get_coro())]) > 1:
            await asyncio.sleep(0.001)


def read(app: App, **options: Any) -> DrivenStream:
    """Run a stream that ends by itself, on a clock that jumps, and return what was seen of it."""

    async def main() -> DrivenStream:
        async with open_stream(app, raise_app_errors=False, wait_for_start=False, timeout=1000, **options) as stream:
            await stream.wait_closed()
            await stream.until_end()
        await no_other_tasks()
        return stream

    return run_with_virtual_clock(main())
