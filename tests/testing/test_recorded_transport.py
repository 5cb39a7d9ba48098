from __future__ import annotations

import asyncio
from types import ModuleType

import httpx
import httpx2
import pytest

from unbroken.testing import RecordedStream
from unbroken.wire import Decoder

BODY = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n"
RECORDING = RecordedStream(BODY, cuts=[4])

libraries = pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])


@libraries
def test_a_sync_client_gets_the_recording(library: ModuleType) -> None:
    """Piece by piece, as an event stream; and what was asked can be looked at."""
    transport = RECORDING.transport()

    with (
        library.Client(transport=transport) as client,
        client.stream("POST", "http://model/v1", json={"n": 1}) as response,
    ):
        pieces = list(response.iter_raw())

    assert pieces == list(RECORDING.pieces())
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
    assert [(request.method, request.content) for request in transport.requests] == [("POST", b'{"n":1}')]


@libraries
def test_an_async_client_gets_the_recording(library: ModuleType) -> None:
    """The same transport serves both kinds of client."""

    async def main() -> list[bytes]:
        async with (
            library.AsyncClient(transport=RECORDING.transport()) as client,
            client.stream("GET", "http://model/v1") as response,
        ):
            return [piece async for piece in response.aiter_raw()]

    assert asyncio.run(main()) == list(RECORDING.pieces())


@libraries
def test_a_truncated_recording_is_an_error_of_the_clients_library(library: ModuleType) -> None:
    """After all that there is, the client meets what it meets when a server breaks off."""
    decoder, data = Decoder(), list[str]()

    with (
        library.Client(transport=RECORDING.truncated(after_bytes=16).transport()) as client,
        client.stream("GET", "http://model/v1") as response,
        pytest.raises(library.RemoteProtocolError, match="breaks off"),
    ):
        for piece in response.iter_raw():
            data += [event.data for event in decoder.feed(piece)]

    assert data == ["a"]
