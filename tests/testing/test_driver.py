from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from unbroken.errors import ConfigurationError, EventStreamError
from unbroken.testing import (
    AppStillRunningError,
    DeadlineError,
    LoopStarvedError,
    StreamEnd,
    StreamEndedError,
    open_stream,
    run_with_virtual_clock,
)
from unbroken.testing.connection import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.core

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"Content-Type", b"text/event-stream")],
}


def body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    """A message of the response's body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def app_sending(*chunks: bytes) -> ASGIApp:
    """An application that sends its chunks and completes the response."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for chunk in chunks:
            await send(body(chunk))
        await send(body(b"", more=False))

    return app


def app_that(behave: Callable[[Receive, Send], Awaitable[None]]) -> ASGIApp:
    """An application that starts an event stream and then behaves as told."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await behave(receive, send)

    return app


async def wait_for_disconnect(receive: Receive, send: Send) -> None:
    """Send nothing until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def never_end(receive: Receive, send: Send) -> None:
    """Wait for what does not come, and do not listen for the disconnect."""
    await asyncio.Event().wait()


async def echo_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the request's scope and body as one event."""
    request = await receive()
    seen = {name: scope[name] for name in ("method", "path", "client", "asgi", "root_path")}
    seen |= {"query": scope["query_string"].decode(), "body": request["body"].decode(), "type": scope["type"]}
    seen["headers"] = {name.decode(): value.decode() for name, value in scope["headers"]}
    await send(START)
    await send(body(f"data: {json.dumps(seen)}\n\n".encode(), more=False))


def test_events_of_an_endless_stream_are_read_as_they_come() -> None:
    """A stream that never ends is read event by event, through a whole Starlette application."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"id: {number}\nevent: tick\ndata: {number}\n\n"
            number += 1
            await asyncio.sleep(0)

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    async def main() -> None:
        async with open_stream(Starlette(routes=[Route("/ticks", endpoint)]), "/ticks") as stream:
            assert stream.status == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            event = await stream.next_event()
            assert (event.event, event.data, event.last_event_id) == ("tick", "0", "0")
            assert [event.data for event in await stream.events(3)] == ["1", "2", "3"]
            assert stream.ended is None

    asyncio.run(main())


def test_the_request_is_what_was_asked_for() -> None:
    """Method, path, query, headers, body, client and scope reach the application."""

    async def main() -> dict[str, Any]:
        async with open_stream(
            echo_scope,
            "/a%20b",
            method="POST",
            headers={"Last-Event-ID": "7", "Host": "example.org"},
            query={"topic": "a&b"},
            body=b"ask",
            client=("192.0.2.1", 9),
            spec_version="2.4",
            scope={"root_path": "/api"},
        ) as stream:
            seen: dict[str, Any] = json.loads((await stream.next_event()).data)
            return seen

    seen = asyncio.run(main())
    assert seen.pop("headers") == {
        "accept": "text/event-stream",
        "content-length": "3",
        "last-event-id": "7",
        "host": "example.org",
    }
    assert seen == {
        "type": "http",
        "method": "POST",
        "path": "/a b",
        "query": "topic=a%26b",
        "body": "ask",
        "client": ["192.0.2.1", 9],
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "root_path": "/api",
    }


@pytest.mark.parametrize("path", ["events", "/events?topic=a"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    """A path without its slash or with a query says what to write instead."""

    async def main() -> None:
        async with open_stream(echo_scope, path):
            pytest.fail("it was opened")

    with pytest.raises(ConfigurationError, match="give what follows"):
        asyncio.run(main())


def test_comments_and_retry_are_seen() -> None:
    """Heartbeats and the reconnection time are there to assert on, apart from the events."""

    async def main() -> None:
        app = app_sending(b"retry: 3000\n\n: keep-", b"alive\n\ndata: a\n\n:second\n\n")
        async with open_stream(app) as stream:
            assert await stream.next_comment() == "keep-alive"
            assert await stream.next_comment() == "second"
            assert [event.data for event in await stream.until_end()] == ["a"]
            assert (stream.comments, stream.retry) == (["keep-alive", "second"], 3000)
            with pytest.raises(StreamEndedError, match="a comment did not come"):
                await stream.next_comment()

    asyncio.run(main())


def test_iteration_ends_with_the_response() -> None:
    """`async for` gives every event of a complete response and then stops."""

    async def main() -> list[str]:
        async with open_stream(app_sending(b"data: a\n\nda", b"ta: b\n\n")) as stream:
            seen = [event.data async for event in stream]
        assert stream.ended is StreamEnd.COMPLETE
        assert stream.received == b"data: a\n\ndata: b\n\n"
        return seen

    assert asyncio.run(main()) == ["a", "b"]


def test_a_truncated_stream_is_told_from_a_complete_one() -> None:
    """An application that returns without `more_body: False` gives its events, then an error in iteration."""

    async def main() -> list[str]:
        seen: list[str] = []
        async with open_stream(app_that(lambda _, send: send(body(b"data: a\n\ndata: half")))) as stream:
            seen.append((await anext(stream)).data)
            with pytest.raises(StreamEndedError, match=r"truncated.*the application returned"):
                await anext(stream)
            assert await stream.until_end() == []
        assert stream.ended is StreamEnd.TRUNCATED
        return seen

    assert asyncio.run(main()) == ["a"]


def test_an_event_that_cannot_come_any_more_is_an_error_at_once() -> None:
    """Awaiting more events than the stream has does not wait for the deadline, and loses none of them."""

    async def main() -> None:
        async with open_stream(app_sending(b"data: a\n\n"), timeout=3600) as stream:
            with pytest.raises(StreamEndedError, match=r"2 events did not come.*1 unread events"):
                await stream.events(2)
            assert (await stream.next_event()).data == "a"

    asyncio.run(main())


async def fail(receive: Receive, send: Send) -> None:
    """Send one event and raise."""
    await send(body(b"data: a\n\n"))
    raise LookupError("of the application")


def test_what_the_application_raised_is_raised_at_the_end() -> None:
    """A test that looks at nothing fails by the application's own exception."""

    async def main() -> None:
        async with open_stream(app_that(fail)) as stream:
            assert (await stream.next_event()).data == "a"
            await stream.until_end()

    with pytest.raises(LookupError, match="of the application"):
        asyncio.run(main())


def test_what_the_application_raised_can_be_looked_at() -> None:
    """With `raise_app_errors=False` the exception is `stream.error`, and the cause of what was awaited in vain."""

    async def main() -> None:
        async with open_stream(app_that(fail), raise_app_errors=False) as stream:
            await stream.next_event()
            with pytest.raises(StreamEndedError, match="raised LookupError") as raised:
                await stream.next_event()
        assert isinstance(stream.error, LookupError)
        assert raised.value.__cause__ is stream.error
        assert stream.ended is StreamEnd.TRUNCATED

    asyncio.run(main())


async def fail_before_the_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise with nothing sent."""
    raise LookupError("before the start")


def test_an_error_before_the_start_is_raised_on_entering() -> None:
    """There is no status to look at, so the context is not entered."""

    async def main() -> None:
        async with open_stream(fail_before_the_start):
            pytest.fail("it was opened")

    with pytest.raises(LookupError, match="before the start"):
        asyncio.run(main())


def test_an_error_before_the_start_can_be_looked_at() -> None:
    """With `raise_app_errors=False` the context is entered, and the status says why there is none."""

    async def main() -> None:
        async with open_stream(fail_before_the_start, raise_app_errors=False) as stream:
            assert isinstance(stream.error, LookupError)
            with pytest.raises(StreamEndedError, match="has not started"):
                print(stream.status)
            with pytest.raises(StreamEndedError, match="never started"):
                await stream.started()

    asyncio.run(main())


def test_the_start_can_be_awaited_later() -> None:
    """With `wait_for_start=False` the test acts before the headers are there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await app_sending()(scope, receive, send)

    async def main() -> float:
        async with open_stream(app, wait_for_start=False) as stream:
            assert not stream.has_started
            with pytest.raises(DeadlineError, match=r"start did not come within 0.1 s.*waits in .*app \(test_driver"):
                await stream.started(0.1)
            await stream.started()
            assert stream.status == 200
            return asyncio.get_running_loop().time()

    assert run_with_virtual_clock(main()) == pytest.approx(0.5)


def test_a_start_that_never_comes_is_reported() -> None:
    """Entering the context waits for the start under the deadline, and leaves no task behind."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await wait_for_disconnect(receive, send)

    async def main() -> None:
        with pytest.raises(DeadlineError, match="the response's start did not come within 5 s"):
            async with open_stream(app):
                pytest.fail("it was opened")
        assert len(asyncio.all_tasks()) == 1

    run_with_virtual_clock(main())


def test_a_deadline_says_what_was_seen() -> None:
    """The error names what was awaited, what came instead, and where the application waits."""

    async def silent(receive: Receive, send: Send) -> None:
        await send(body(b": first\n\ndata: a\n\n"))
        await wait_for_disconnect(receive, send)

    async def main() -> None:
        async with open_stream(app_that(silent)) as stream:
            with pytest.raises(DeadlineError) as raised:
                await stream.events(2, timeout=60)
            for part in (
                "2 events",
                "60 s",
                "status 200",
                "1 unread events, 1 comments",
                "data: a",
                "wait_for_disconnect (test_driver.py:",
            ):
                assert part in str(raised.value)
            with pytest.raises(DeadlineError, match="a third thing"):
                await stream.until(lambda: False, "a third thing")
            with pytest.raises(DeadlineError, match="the end of the stream"):
                await stream.until_end()

    run_with_virtual_clock(main())


def test_a_disconnect_reaches_receive() -> None:
    """`receive` gives the request once, blocks, and gives `http.disconnect` when the client leaves."""
    got: list[str] = []

    async def listen(receive: Receive, send: Send) -> None:
        while not got or got[-1] != "http.disconnect":
            got.append((await receive())["type"])

    async def main() -> None:
        async with open_stream(app_that(listen)) as stream:
            await stream.until(lambda: got == ["http.request"])
            await stream.disconnect()
            await stream.wait_closed()
            assert stream.ended is StreamEnd.DISCONNECTED
            with pytest.raises(StreamEndedError, match="an event did not come"):
                await stream.next_event()

    asyncio.run(main())
    assert got == ["http.request", "http.disconnect"]


def test_a_client_that_left_early_gave_no_request() -> None:
    """Who calls `receive` for the first time after the client has left is told only that."""
    go, got = asyncio.Event(), list[str]()

    async def listen_late(receive: Receive, send: Send) -> None:
        await go.wait()
        got.append((await receive())["type"])

    async def main() -> None:
        async with open_stream(app_that(listen_late)) as stream:
            await stream.disconnect()
            go.set()

    asyncio.run(main())
    assert got == ["http.disconnect"]


def test_receive_tells_a_disconnect_once_the_response_is_complete() -> None:
    """As under a server, who listens on after its own last message is told that it is over."""
    got: list[str] = []

    async def complete(receive: Receive, send: Send) -> None:
        await send(body(b"", more=False))
        got.extend([(await receive())["type"], (await receive())["type"]])

    async def main() -> None:
        async with open_stream(app_that(complete)) as stream:
            await stream.wait_closed()
        assert stream.ended is StreamEnd.COMPLETE

    asyncio.run(main())
    assert got == ["http.request", "http.disconnect"]


def test_sends_after_a_disconnect_vanish_silently() -> None:
    """By default `send` returns after the client has left, and nothing more is received."""
    sent = 0

    async def go_on(receive: Receive, send: Send) -> None:
        nonlocal sent
        await wait_for_disconnect(receive, send)
        for _ in range(3):
            await send(body(b"data: late\n\n"))
            sent += 1

    async def main() -> None:
        async with open_stream(app_that(go_on)) as stream:
            await stream.disconnect()
            await stream.wait_closed()
            assert stream.received == b""

    asyncio.run(main())
    assert sent == 3


def test_sends_after_a_disconnect_raise_where_it_is_asked_for() -> None:
    """With `send_raises` the application gets an `OSError`; let through, it is the server's own and no error."""
    seen: list[str] = []

    async def go_on(receive: Receive, send: Send) -> None:
        await wait_for_disconnect(receive, send)
        try:
            await send(body(b"data: late\n\n"))
        except OSError as error:
            seen.append(str(error))
            raise

    async def main() -> None:
        async with open_stream(app_that(go_on), spec_version="2.4", send_raises=True) as stream:
            await stream.disconnect()
            await stream.wait_closed()
            assert stream.error is None

    asyncio.run(main())
    assert seen == ["the client has disconnected"]


@pytest.mark.parametrize("send_raises", [False, True])
def test_a_frozen_client_makes_send_wait_until_it_leaves(send_raises: bool) -> None:
    """`send` takes `buffer_messages` messages of a frozen client, then suspends; a disconnect frees it."""
    sent: list[int] = []
    outcome: list[str] = []

    async def count(receive: Receive, send: Send) -> None:
        await wait_until_asked.wait()
        try:
            for number in range(10):
                await send(body(b"data: a\n\n"))
                sent.append(number)
        except OSError:
            outcome.append("raised")

    wait_until_asked = asyncio.Event()

    async def main() -> None:
        async with open_stream(app_that(count), buffer_messages=3, send_raises=send_raises) as stream:
            stream.freeze()
            wait_until_asked.set()
            with pytest.raises(DeadlineError, match="the client is frozen"):
                await stream.next_event()
            assert sent == [0, 1, 2]
            await stream.disconnect()
            await stream.wait_closed()
            assert stream.received == b""

    run_with_virtual_clock(main())
    assert (sent, outcome) == (([0, 1, 2], ["raised"]) if send_raises else (list(range(10)), []))


def test_a_thawed_client_reads_on() -> None:
    """After `thaw` every event comes, those that had waited first."""
    go = asyncio.Event()

    async def count(receive: Receive, send: Send) -> None:
        await go.wait()
        for number in range(10):
            await send(body(b"data: %d\n\n" % number))

    async def main() -> list[str]:
        async with open_stream(app_that(count), buffer_messages=0) as stream:
            stream.freeze()
            go.set()
            with pytest.raises(AppStillRunningError, match=r"ended: None.*the client is frozen"):
                await stream.wait_closed()
            stream.thaw()
            return [event.data for event in await stream.until_end()]

    assert run_with_virtual_clock(main()) == [str(number) for number in range(10)]


def test_the_end_is_not_seen_by_a_frozen_client() -> None:
    """A stream whose end still waits in the server is not ended for its client."""
    go = asyncio.Event()

    async def end(receive: Receive, send: Send) -> None:
        await go.wait()
        await send(body(b"data: a\n\n", more=False))

    async def main() -> None:
        async with open_stream(app_that(end)) as stream:
            stream.freeze()
            go.set()
            await stream.wait_closed()
            assert stream.ended is None
            stream.thaw()
            assert len(await stream.until_end()) == 1
            assert stream.ended is StreamEnd.COMPLETE

    asyncio.run(main())


def test_send_does_not_suspend_while_there_is_room() -> None:
    """As under a server, `send` alone gives nobody else a turn; with `buffer_messages=0` it does."""
    turns: list[int] = []

    async def burst(receive: Receive, send: Send) -> None:
        turn = 0

        def count() -> None:
            nonlocal turn
            turn += 1
            asyncio.get_running_loop().call_soon(count)

        count()
        before = turn
        for _ in range(5):
            await send(body(b"data: a\n\n"))
        turns.append(turn - before)

    async def main() -> None:
        for buffer_messages in (16, 0):
            async with open_stream(app_that(burst), buffer_messages=buffer_messages) as stream:
                await stream.until_end()

    asyncio.run(main())
    assert turns[0] == 0
    assert turns[1] >= 5


def test_the_server_cancels_the_application_once() -> None:
    """`cancel` is one cancellation, after which the application may await in its cleanup."""
    steps: list[str] = []

    async def clean_up(receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cancelled")
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    async def main() -> None:
        async with open_stream(app_that(clean_up)) as stream:
            await stream.cancel()
            await stream.wait_closed()
            assert (stream.ended, stream.error) == (StreamEnd.TRUNCATED, None)
            with pytest.raises(StreamEndedError, match="the application was cancelled"):
                await stream.next_event()

    asyncio.run(main())
    assert steps == ["cancelled", "cleaned up"]


def test_an_application_that_ignores_the_disconnect_is_reported() -> None:
    """Leaving the context fails with the place where the application waits, and cancels it."""

    async def main() -> None:
        with pytest.raises(AppStillRunningError, match=r"did not end within 5 s.*waits in .*never_end \(test_dr"):
            async with open_stream(app_that(never_end)):
                pass
        assert len(asyncio.all_tasks()) == 1

    run_with_virtual_clock(main())


def test_an_application_that_cannot_be_cancelled_is_reported() -> None:
    """One that swallows its cancellation too is said to be left behind."""
    enough = asyncio.Event()

    async def swallow(receive: Receive, send: Send) -> None:
        while not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        with pytest.raises(AppStillRunningError) as raised:
            async with open_stream(app_that(swallow)):
                pass
        assert raised.value.__notes__ == ["It was cancelled, and did not end then either: its task is left behind."]
        enough.set()

    run_with_virtual_clock(main())


def test_the_tests_own_failure_comes_first() -> None:
    """An exception in the body stays what it is; an application that hangs as well is a note to it."""

    async def main() -> None:
        with pytest.raises(LookupError) as raised:
            async with open_stream(app_that(never_end)):
                raise LookupError("of the test")
        assert "did not end within 5 s" in raised.value.__notes__[0]
        assert len(asyncio.all_tasks()) == 1

    run_with_virtual_clock(main())


@pytest.mark.parametrize("cancel_by", ["asyncio", "anyio"])
def test_a_cancelled_test_leaves_no_task(cancel_by: str) -> None:
    """A deadline around the whole test still cancels the application."""

    async def main() -> None:
        if cancel_by == "anyio":
            with anyio.move_on_after(1):
                async with open_stream(app_that(never_end)):
                    await asyncio.Event().wait()
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), open_stream(app_that(never_end)):
                    await asyncio.Event().wait()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    run_with_virtual_clock(main())


def test_a_loop_that_starves_everything_is_reported() -> None:
    """The loop which never awaits, and spins for ever under today's servers once the client is gone, is caught."""

    async def busy(receive: Receive, send: Send) -> None:
        while True:
            await send(body(b"data: Hello\n\n"))

    async def main() -> None:
        async with open_stream(app_that(busy)) as stream:
            await stream.events(100)
            await stream.disconnect()

    with pytest.raises(LoopStarvedError, match="without letting the event loop run"):
        asyncio.run(main())


def test_many_sends_after_a_disconnect_are_fine_if_the_loop_runs() -> None:
    """Only sends within one turn of the loop count as starving it."""
    sent = 0

    async def polite(receive: Receive, send: Send) -> None:
        nonlocal sent
        await wait_for_disconnect(receive, send)
        for _ in range(3):
            for _ in range(9000):
                await send(body(b"data: Hello\n\n"))
            sent += 9000
            await asyncio.sleep(0)

    async def main() -> None:
        async with open_stream(app_that(polite)) as stream:
            await stream.disconnect()
            await stream.wait_closed()

    asyncio.run(main())
    assert sent == 27000


def test_a_client_takes_only_so_much() -> None:
    """Beyond `max_received_bytes` the client stops reading, and the error says so."""

    async def flood(receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(flood_on(send))
            await wait_for_disconnect(receive, send)
            sending.cancel()

    async def flood_on(send: Send) -> None:
        while True:
            await send(body(b"data: " + b"x" * 1000 + b"\n\n"))
            await asyncio.sleep(0)

    async def main() -> None:
        async with open_stream(app_that(flood), max_received_bytes=10_000) as stream:
            with pytest.raises(DeadlineError, match="beyond max_received_bytes"):
                await stream.events(100)
            assert 10_000 < len(stream.received) <= 12_000

    run_with_virtual_clock(main())


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([body(b"a")], "'http.response.body' cannot be sent before the start"),
        ([START, START], "'http.response.start' cannot be sent after the start"),
        ([START, body(b"", more=False), body(b"")], "'http.response.body' was sent after the response was complete"),
        ([START, {"type": "http.response.trailers"}], "'http.response.trailers' cannot be sent after the start"),
    ],
)
def test_messages_out_of_order_are_refused(messages: list[dict[str, Any]], complaint: str) -> None:
    """What a real server refuses is refused here too, by an error in the application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def main() -> None:
        async with open_stream(app) as stream:
            await stream.wait_closed()

    with pytest.raises(RuntimeError, match=complaint):
        asyncio.run(main())


def test_what_is_no_event_stream_has_no_events() -> None:
    """Of another content type only the bytes are read, and a wait for an event names the type."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send(body(b"data: no\n\n", more=False))

    async def main() -> None:
        async with open_stream(app) as stream:
            with pytest.raises(StreamEndedError, match="status 404, content-type text/plain"):
                await stream.next_event()
            assert stream.received == b"data: no\n\n"

    asyncio.run(main())


def test_repeated_headers_are_joined() -> None:
    """A header that was sent twice shows both of its values."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"Vary", b"a"), (b"vary", b"b")]})
        await send(body(b"", more=False))

    async def main() -> dict[str, str]:
        async with open_stream(app) as stream:
            return stream.headers

    assert asyncio.run(main()) == {"vary": "a, b"}


def test_bytes_beyond_the_decoders_bounds_are_an_error_of_the_wait() -> None:
    """What the decoder refuses is raised where an event is awaited."""
    line = b"data: " + b"x" * (17 * 1024 * 1024)

    async def main() -> None:
        async with open_stream(app_sending(line), max_received_bytes=2 * len(line)) as stream:
            with pytest.raises(EventStreamError, match="max_line_bytes"):
                await stream.next_event()

    asyncio.run(main())
