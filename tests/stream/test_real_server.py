"""Limits, revalidation, ages and observation with FastAPI on uvicorn, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from unbroken import CloseReason, EventSourceResponse
from unbroken.observe import Observer, OpenStream, Refusal, StreamRecord, attach, detach, open_streams
from unbroken.stream.limits import Limits
from unbroken.testing import DeadlineError
from unbroken.wire import DecodedEvent, Decoder

fastapi = pytest.importorskip("fastapi")
httpx2 = pytest.importorskip("httpx2")
uvicorn = pytest.importorskip("uvicorn")


async def forever() -> AsyncIterator[str]:
    """Say one thing, and then nothing."""
    yield "x"
    await asyncio.Event().wait()


def application(**options: Any) -> Any:
    """Return an application whose route streams for ever."""
    router = fastapi.APIRouter(prefix="/rooms")

    async def events(room: str) -> EventSourceResponse:
        return EventSourceResponse(forever(), **options)

    router.get("/{room}/events")(events)
    app = fastapi.FastAPI()
    app.include_router(router, prefix="/v1")
    return app


PATH = "/v1/rooms/7/events"


@contextlib.contextmanager
def serving(app: Any) -> Iterator[Any]:
    """Run a server in a thread, and give a client of it; the application's state has the server."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=10))
    app.state.server = server
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=10.0) as client:
            until(lambda: server.started)
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise DeadlineError("a condition did not come within 10 s")
        time.sleep(0.005)


def read(response: Any) -> list[DecodedEvent]:
    """Read a stream to its end: a body that were cut off would raise."""
    return Decoder().feed(b"".join(response.iter_bytes()))


class Noting(Observer):
    """Keeps everything that it is told, of streams as their ids and routes."""

    def __init__(self) -> None:
        self.opens: list[tuple[int, str | None]] = []
        self.records: list[StreamRecord] = []
        self.refusals: list[Refusal] = []

    def opened(self, stream: OpenStream) -> None:
        self.opens.append((stream.id, stream.route))

    def closed(self, record: StreamRecord) -> None:
        self.records.append(record)

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


@pytest.fixture
def noted() -> Iterator[Noting]:
    """An observer that is attached."""
    observer = Noting()
    attach(observer)
    yield observer
    detach(observer)


def test_a_place_is_free_when_its_client_has_left(noted: Noting) -> None:
    """The second stream of a user is refused while the first is open, and welcome when its client has gone."""
    limits = Limits(per_key=1, key=lambda connection: connection.headers["x-user"])
    with serving(application(limits=limits)) as client:
        client.headers["x-user"] = "ann"
        with client.stream("GET", PATH) as first:
            assert first.status_code == 200
            refused = client.get(PATH)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert refused.text == "Too many event streams are open (key: 1). Try again later.\n"
        until(lambda: limits.open_streams() == 0)
        with client.stream("GET", PATH) as again:
            assert again.status_code == 200
    assert [(refusal.route, refusal.key) for refusal in noted.refusals] == [("/v1/rooms/{room}/events", "ann")]


def test_what_is_revoked_ends_in_good_order() -> None:
    """Its client reads `stream-end` and a complete body; others go on."""
    allowed = {"ann": True, "bob": True}

    async def may_read(connection: Any) -> bool:
        await asyncio.sleep(0)
        return allowed[connection.headers["x-user"]]

    with (
        serving(application(revalidate=may_read, revalidate_interval=0.05)) as client,
        client.stream("GET", PATH, headers={"x-user": "ann"}) as revoked,
        client.stream("GET", PATH, headers={"x-user": "bob"}),
    ):
        until(lambda: len(open_streams()) == 2)
        allowed["ann"] = False
        last = read(revoked)[-1]
        assert (last.event, json.loads(last.data)) == ("stream-end", {"reason": "revoked"})
        until(lambda: len(open_streams()) == 1)
        assert open_streams()[0].reason is None


def test_streams_that_began_together_end_apart(noted: Noting) -> None:
    """With a jitter their ends are spread, and each body is complete."""
    with (
        serving(application(max_age=1.0, max_age_jitter=0.9)) as client,
        contextlib.ExitStack() as stack,
    ):
        streams = [stack.enter_context(client.stream("GET", PATH)) for _ in range(20)]
        for stream in streams:
            assert json.loads(read(stream)[-1].data) == {"reason": "max_age"}
    ages = [record.duration for record in noted.records]
    assert {record.reason for record in noted.records} == {CloseReason.MAX_AGE}
    assert len(ages) == 20
    assert max(ages) - min(ages) > 0.1


def test_an_observer_is_told_of_a_stream_from_its_beginning_to_its_end(noted: Noting) -> None:
    """It has one id and its route's template, is listed while it is open, and its record says what was read."""
    with serving(application()) as client:
        with client.stream("GET", PATH) as stream:
            pieces = stream.iter_bytes()
            received = next(pieces)
            (seen,) = open_streams()
            assert (seen.path, seen.events) == (PATH, 1)
        until(lambda: len(noted.records) == 1)
    (record,) = noted.records
    assert noted.opens == [(record.id, "/v1/rooms/{room}/events")]
    assert (record.reason, record.route) == (CloseReason.CLIENT_CLOSED, "/v1/rooms/{room}/events")
    assert (record.events, record.sent_bytes) == (1, len(received))
    assert open_streams() == []


def test_a_server_that_stops_listening_tells_each_client_when_to_come_back(noted: Noting) -> None:
    """There is no signal in a thread: the closing of its sockets ends the streams, and the server waits for none."""
    app = application(drain_retry=(1000, 9000))
    retries = set()
    with serving(app) as client, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(client.stream("GET", PATH)) for _ in range(10)]
        app.state.server.should_exit = True
        for stream in streams:
            last = (decoder := Decoder()).feed(b"".join(stream.iter_bytes()))[-1]
            assert (last.event, json.loads(last.data)) == ("stream-end", {"reason": "shutdown"})
            retries.add(decoder.retry)
    assert len(retries) > 1
    assert all(retry is not None and 1000 <= retry <= 9000 for retry in retries)
    assert {record.reason for record in noted.records} == {CloseReason.SHUTDOWN}
