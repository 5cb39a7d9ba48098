from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from unbroken import EventSourceResponse, ServerSentEvent
from unbroken.client import EventSource, ReadyState, StateChange, SyncEventSource
from unbroken.errors import ConfigurationError, ConnectFailed, ReconnectFailed, StreamTruncated, UnexpectedResponse
from unbroken.testing import (
    AppFailedError,
    AppStillRunningError,
    DeadlineError,
    RecordedStream,
    StreamingASGITransport,
    VirtualClock,
    expect_events,
    run_with_virtual_clock,
    sse_client,
    sync_expect_events,
)
from unbroken.testing.connection import ASGIApp, Receive, Scope, Send

RECORDING = RecordedStream(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\nevent: last\ndata: c\n\n")
EVENTS = [("message", "a", "1"), ("message", "b", "2"), ("last", "c", "3")]


def numbers_from(place: int, *, until: int | None = None) -> AsyncIterator[ServerSentEvent]:
    """Numbered events, one a second; broken off by an error behind `until`."""

    async def events() -> AsyncIterator[ServerSentEvent]:
        number = place
        while number != until:
            number += 1
            yield ServerSentEvent(number, event="tick", id=str(number))
            await asyncio.sleep(1)
        raise RuntimeError("the database is gone")

    return events()


def counting(*, broken_after: int | None = None) -> ASGIApp:
    """An application that counts on from `Last-Event-ID`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        place = int(dict(scope["headers"]).get(b"last-event-id", b"0"))
        until = None if broken_after is None else place + broken_after
        await EventSourceResponse(numbers_from(place, until=until))(scope, receive, send)

    return app


def in_turn(*apps: ASGIApp) -> ASGIApp:
    """An application of which each request meets the next one."""
    waiting = list(apps)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await waiting.pop(0)(scope, receive, send)

    return app


def test_a_stream_of_an_application_is_read() -> None:
    """With the client of the network, and left while it goes on."""

    async def main() -> None:
        async with sse_client(counting()) as events:
            assert (events.status, events.ready_state) == (200, ReadyState.OPEN)
            await expect_events(events, [("tick", 1, "1"), ("tick", 2), ("tick", 3)])
        assert events.ready_state is ReadyState.CLOSED

    run_with_virtual_clock(main())


def test_a_broken_stream_goes_on_where_it_was_broken() -> None:
    """Each reconnection is a new request; its waits and the heartbeats' take no time on a virtual clock."""
    clock = VirtualClock()

    async def main() -> None:
        async with sse_client(counting(broken_after=2), raise_app_errors=False) as events:
            await expect_events(events, [("tick", number, str(number)) for number in range(1, 8)], timeout=600)
            assert events.stats.connections == 4

    clock.run(main())
    assert clock.time() > 6


def test_an_error_of_the_application_fails_the_test() -> None:
    """By default it is raised where the client meets it, instead of reconnected to for ever."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await RECORDING.truncated(after_events=2)(scope, receive, send)
        raise RuntimeError("the database is gone")

    async def main() -> None:
        async with sse_client(broken) as events:
            await expect_events(events, EVENTS)

    with pytest.raises(RuntimeError, match="the database is gone") as caught:
        run_with_virtual_clock(main())
    assert "event 3 of 3 did not come" in caught.value.__notes__[0]


def test_an_error_that_the_server_told_of_fails_the_test() -> None:
    """The client leaves at a `stream-error`, before the application has raised: its next request raises."""
    requests = list[Scope]()

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        requests.append(scope)
        await counting(broken_after=2)(scope, receive, send)

    async def main() -> None:
        async with sse_client(broken, reconnect_delay=10) as events:
            async for _ in events:
                pass

    with pytest.raises(RuntimeError, match="the database is gone"):
        run_with_virtual_clock(main())
    assert len(requests) == 1


def test_an_error_before_the_stream_is_raised_on_entering() -> None:
    """And without raise_app_errors it is the answer that a server gives."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("no table")

    async def main(raise_app_errors: bool) -> None:
        async with sse_client(failing, raise_app_errors=raise_app_errors, reconnect="never"):
            pytest.fail("it was entered")

    with pytest.raises(RuntimeError, match="no table"):
        run_with_virtual_clock(main(True))
    with pytest.raises(UnexpectedResponse) as caught:
        run_with_virtual_clock(main(False))
    assert (caught.value.status, caught.value.body) == (500, b"Internal Server Error")


@pytest.mark.parametrize("moment", ["before", "within"])
@pytest.mark.parametrize("error", [ConnectFailed("no upstream"), httpx2.ReadTimeout("no upstream")], ids=repr)
def test_an_error_of_the_clients_own_kind_fails_the_test(error: Exception, moment: str) -> None:
    """Also the client's own kind of error, which it would answer by reconnecting."""

    async def relay(scope: Scope, receive: Receive, send: Send) -> None:
        if moment == "within":
            await RECORDING.truncated(after_events=1)(scope, receive, send)
        raise error

    async def main() -> None:
        async with sse_client(relay) as events:
            await expect_events(events, EVENTS, timeout=600)

    with pytest.raises(AppFailedError, match="no upstream") as caught:
        run_with_virtual_clock(main())
    assert caught.value.__cause__ is error


async def _answers_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def _is_busy(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body", "body": b"busy"})


@pytest.mark.parametrize("app", [_answers_nothing, _is_busy])
def test_an_application_without_a_stream_is_not_asked_for_ever(app: ASGIApp) -> None:
    """After a minute the client has given up."""
    clock = VirtualClock()

    async def main() -> None:
        async with sse_client(app):
            pytest.fail("it was entered")

    with pytest.raises(ReconnectFailed, match="reconnect_timeout=60"):
        clock.run(main())
    assert clock.time() <= 60


@pytest.mark.parametrize("path", ["clock", "http://testserver/clock", ""])
def test_a_path_begins_with_a_slash(path: str) -> None:
    """Anything else would be asked of another host."""

    async def main() -> None:
        async with sse_client(RECORDING, path):
            pytest.fail("it was entered")

    with pytest.raises(ConfigurationError, match="path="):
        asyncio.run(main())


def test_arguments_reach_the_client_and_the_application() -> None:
    """Path, query, method, body, headers and the last event ID are those of the request; scope= is added."""
    seen: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope, body=(await receive())["body"], headers=dict(scope["headers"]))
        await RECORDING(scope, receive, send)

    async def main() -> None:
        async with sse_client(
            app,
            "/feed?topic=a",
            base_url="https://example.org/api/",
            scope={"root_path": "/api"},
            method="POST",
            json={"ask": 1},
            last_event_id="0",
            end=lambda event: event.event == "last",
        ) as events:
            await expect_events(events, EVENTS[:2])
            assert [event async for event in events] == []

    asyncio.run(main())
    assert [seen[name] for name in ("method", "path", "query_string", "root_path", "scheme", "server", "body")] == [
        "POST", "/api/feed", b"topic=a", "/api", "https", ("example.org", 443), b'{"ask":1}',
    ]  # fmt: skip
    assert (seen["headers"][b"host"], seen["headers"][b"last-event-id"]) == (b"example.org", b"0")


def test_a_client_of_ones_own_is_refused() -> None:
    """The text says how to bring one."""

    async def main() -> None:
        async with sse_client(RECORDING, client=object()):
            pytest.fail("it was entered")

    with pytest.raises(ConfigurationError, match="StreamingASGITransport"):
        asyncio.run(main())


def test_a_silent_application_is_a_dead_connection() -> None:
    """The client's watchdog strikes, and the next connection is asked."""

    async def mute(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while (await receive())["type"] != "http.disconnect":
            pass

    async def main() -> None:
        async with sse_client(in_turn(mute, counting()), idle_timeout=30) as events:
            await expect_events(events, [("tick", 1)], timeout=60)
            assert events.stats.connections == 2

    run_with_virtual_clock(main())


def test_an_application_that_stays_is_told() -> None:
    """One that does not end when its client leaves fails the test, and says where it stands."""

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await asyncio.Event().wait()

    async def main() -> None:
        async with sse_client(deaf):
            pass

    with pytest.raises(AppStillRunningError, match="deaf"):
        run_with_virtual_clock(main())


@pytest.mark.parametrize("cuts", ["whole", "event", "byte", [3, 5]], ids=str)
def test_a_recording_is_read_whole_over_a_broken_connection(cuts: Any) -> None:
    """A truncated recording, then the rest with the event that was read last: what came twice is seen once."""
    first, second = (len(RECORDING.truncated(after_events=count).body) for count in (1, 2))
    rest = RecordedStream(RECORDING.body[first:])
    assert first < second
    app = in_turn(RECORDING.truncated(after_events=2).cut(cuts), rest.cut(cuts))

    async def main() -> None:
        async with sse_client(app, reconnect="faults") as events:
            await expect_events(events, EVENTS)
            assert (events.stats.connections, events.stats.duplicates) == (2, 1)

    run_with_virtual_clock(main())


def test_a_sync_client_reads_a_recording() -> None:
    """By the recording's own transport, and with the assertion for clients without `await`."""
    with (
        httpx2.Client(transport=RECORDING.truncated(after_events=2).transport()) as client,
        SyncEventSource("http://model/", client=client, reconnect="never") as events,
    ):
        sync_expect_events(events, EVENTS[:1])
        with pytest.raises(StreamTruncated) as caught:
            sync_expect_events(events, EVENTS[1:])
    assert "event 2 of 2 did not come" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("expected", "text"),
    [(["A"], "its data"), (["a", "b", EVENTS[2], "d"], "event 4 of 4 did not come: the stream ended")],
    ids=["difference", "end"],
)
def test_a_sync_difference_is_shown(expected: list[Any], text: str) -> None:
    """As to the asynchronous one."""
    with (
        httpx2.Client(transport=RECORDING.transport()) as client,
        SyncEventSource("http://model/", client=client, reconnect="never") as events,
        pytest.raises(AssertionError, match=text),
    ):
        sync_expect_events(events, expected)


def test_a_sync_deadline_ends_the_wait() -> None:
    """The stream is closed when the time is over, wherever its thread waits."""
    with (
        httpx2.Client(transport=RECORDING.truncated(after_events=1).transport()) as client,
        SyncEventSource("http://model/", client=client, reconnect_delay=60, max_delay=60) as events,
        pytest.raises(DeadlineError, match=r"event 2 of 2 did not come within 0\.05 s\n.*\n.* message 'a'"),
    ):
        sync_expect_events(events, ["a", "b"], timeout=0.05)


def test_a_client_of_ones_own_reads_an_application() -> None:
    """`StreamingASGITransport` serves a client with headers, auth and hooks of its own."""

    async def main() -> None:
        transport = StreamingASGITransport(counting())
        async with (
            httpx2.AsyncClient(transport=transport, headers={"authorization": "token"}) as client,
            EventSource("http://testserver/", client=client) as events,
        ):
            await expect_events(events, [("tick", 1), ("tick", 2)])

    run_with_virtual_clock(main())


def test_many_reconnections_leave_nothing_behind() -> None:
    """Neither tasks nor responses of earlier connections are kept."""

    def alive(kind: Callable[..., object]) -> int:
        gc.collect()
        return sum(isinstance(thing, kind) for thing in gc.get_objects())  # type: ignore[arg-type]

    async def main() -> None:
        once = RECORDING.truncated(after_events=1)
        async with sse_client(once, reconnect="always", drop_duplicates=False) as events:
            await expect_events(events, EVENTS[:1] * 100, timeout=10_000)
            assert alive(httpx2.Response) < 10
            assert len(asyncio.all_tasks()) < 5

    run_with_virtual_clock(main())


def test_what_on_state_raises_at_the_end_is_raised() -> None:
    """Also for the last change: behind the events, out of the wait for the next."""

    def refuse(change: StateChange) -> None:
        if change.state is ReadyState.CLOSED:
            raise RuntimeError("not yet")

    async def main() -> None:
        async with sse_client(RECORDING, reconnect="never", on_state=refuse) as events:
            await expect_events(events, EVENTS)
            with pytest.raises(RuntimeError, match="not yet"):
                await anext(events)

    run_with_virtual_clock(main())
