"""A transport of httpx2 that answers every request with a recorded event stream."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from unbroken.testing.httpx_family import family_of, httpx2, stream_class
from unbroken.testing.recorded import RecordedStream

__all__ = ["RecordedTransport"]

MAX_REQUESTS: Final = 1000


class RecordedTransport(httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """Answers every request with a recording, for clients of httpx2 and of httpx, sync and async.

    Made by `RecordedStream.transport()`. No application runs, and nothing waits: it may be used in
    every thread, and with asyncio and trio alike. The last 1000 requests are kept in `requests`,
    for a test of what was asked.
    """

    def __init__(self, recording: RecordedStream) -> None:
        self._recording = recording
        self.requests = deque[httpx2.Request](maxlen=MAX_REQUESTS)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the recording as a response."""
        request.read()
        return self._answer(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the recording as a response."""
        await request.aread()
        return self._answer(request)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        family = family_of(request)
        stream = stream_class(_Body, family.SyncByteStream, family.AsyncByteStream)(self._recording, family)
        response: httpx2.Response = family.Response(200, headers=dict(self._recording.headers), stream=stream)
        return response


class _Body:
    def __init__(self, recording: RecordedStream, family: Any) -> None:
        self._recording = recording
        self._family = family

    def __iter__(self) -> Iterator[bytes]:
        yield from self._recording.pieces()
        if self._recording.incomplete:
            raise self._family.RemoteProtocolError("the recording breaks off here")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece
