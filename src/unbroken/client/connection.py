"""The connections of an `EventSource`, one after the other, through an asynchronous client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from unbroken.client.answer import MAX_REFUSAL_BYTES, Answer
from unbroken.client.http import HTTP, OutgoingRequest, stalled, unanswered

__all__ = ["CLOSE_TIMEOUT", "REFUSAL_TIMEOUT", "Connection"]

GUARD = 0.5
"""Seconds that a transport has to notice by itself that a time limit is over."""
CLOSE_TIMEOUT = 5.0
REFUSAL_TIMEOUT = 5.0
FINISH_TIMEOUT = 0.1


class Connection:
    """At most one response at a time.

    Time limits are the transport's, which knows then that its connection is dead: over HTTP/2 it would be used again
    for the next attempt. The event loop's come a moment later, for transports without limits, and for
    a stream that shares its connection with one that is not silent.
    """

    __slots__ = ("_http", "_pieces", "_response", "_url")

    def __init__(self, client: Any, auth: Any, url: str) -> None:
        self._http = HTTP(client, auth, is_async=True)
        self._url = url
        self._response: Any = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def open(self, request: OutgoingRequest, connect_timeout: float, answer_timeout: float | None) -> Answer:
        """Send a request, and return the answer without its body.

        Raises:
            EventSourceError: there is no answer.
            ConfigurationError: there is nothing that could be sent.
        """
        outgoing = self._http.build(request, connect_timeout=connect_timeout, read_timeout=answer_timeout)
        try:
            async with asyncio.timeout(_guard(answer_timeout)) as limit:
                self._response = await self._http.client.send(outgoing, **self._http.sending)
        except Exception as error:
            if limit.expired():
                raise unanswered(self._url, answer_timeout) from error
            translated = self._http.connecting_failed(error, self._url, connect_timeout, answer_timeout)
            if translated is None:
                raise
            raise translated from error
        self._pieces = self._response.aiter_bytes()
        return self._http.answer(self._response)

    async def read(self, idle_timeout: float | None) -> bytes | None:
        """Return the next piece of the body, None at its end.

        Raises:
            EventSourceError: it breaks off, or nothing comes in time.
        """
        assert self._pieces is not None
        self._http.set_read_timeout(self._response, idle_timeout)
        try:
            async with asyncio.timeout(_guard(idle_timeout)) as limit:
                return await anext(self._pieces, None)
        except Exception as error:
            if limit.expired():
                raise stalled(self._url, idle_timeout) from error
            translated = self._http.reading_failed(error, self._url, idle_timeout)
            if translated is None:
                raise
            raise translated from error

    async def first_bytes(self) -> bytes:
        """Return the beginning of a body that is no event stream."""
        body = bytearray()
        # Whatever goes wrong with the body of a refusal, the refusal is what to tell.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(REFUSAL_TIMEOUT):
                while len(body) < MAX_REFUSAL_BYTES and (piece := await self.read(None)) is not None:
                    body += piece
        return bytes(body[:MAX_REFUSAL_BYTES])

    async def finish(self) -> None:
        """Close the response where its body is as good as complete, so that the client may use its connection again.

        What ends a stream mostly comes with the end of the body, which is only to be read.
        """
        if self._response is not None and not self._http.is_own:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(FINISH_TIMEOUT):
                    if await self.read(None) is not None:
                        await self.read(None)
        await self.let_go()

    async def let_go(self) -> None:
        """Close the response. A body that is not at its end takes its connection with it."""
        response, self._response, self._pieces = self._response, None, None
        if response is not None:
            # It may be dead already, and how it closes is of no interest any more.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await response.aclose()

    async def aclose(self) -> None:
        """Let go, and close the client too, unless it was given."""
        try:
            await self.let_go()
        finally:
            if self._http.is_own:
                await self._http.client.aclose()


def _guard(timeout: float | None) -> float | None:
    return None if timeout is None else timeout + GUARD
