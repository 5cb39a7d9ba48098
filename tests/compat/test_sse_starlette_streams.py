"""What goes on beside a stream of `unbroken.compat.sse_starlette`: pings, callbacks, shutdown."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from starlette.background import BackgroundTask

from tests.compat.support import Heard, items, leave_after_one, read, received_within, silent
from unbroken import ClientDisconnected, CloseReason
from unbroken.compat.sse_starlette import AppStatus, EventSourceResponse, ServerSentEvent
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock

THEIRS = pytest.importorskip("sse_starlette.sse")
EVENT = pytest.importorskip("sse_starlette.event")
BOTH = pytest.mark.parametrize("kind", [THEIRS.EventSourceResponse, EventSourceResponse], ids=["theirs", "ours"])

TIME = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00:00")


@pytest.fixture(autouse=True)
def _no_exit() -> Iterator[None]:
    yield
    for status in (AppStatus, THEIRS.AppStatus):
        status.should_exit = False
        status.enable_automatic_graceful_drain_mode()
    AppStatus.original_handler = None


def test_the_client_leaving_reaches_the_generator() -> None:
    """At a yield it is `ClientDisconnected`, at an await one cancellation; the cleanup may await in both."""
    busy, waiting = Heard(), Heard()
    asyncio.run(leave_after_one(EventSourceResponse(busy.busy())))
    asyncio.run(leave_after_one(EventSourceResponse(waiting.waiting())))
    assert (type(busy.error), busy.cleaned) == (ClientDisconnected, True)
    assert (type(waiting.error), waiting.cleaned) == (asyncio.CancelledError, True)


# Pings


@pytest.mark.parametrize("sep", [None, "\n", "\r"])
def test_a_silent_stream_is_pinged_with_the_same_bytes(sep: str | None) -> None:
    """In silence a comment with the time comes every 15 seconds, in the stream's line end."""
    theirs, mine = (
        TIME.sub(b"TIME", run_with_virtual_clock(received_within(kind(silent(), sep=sep), 50)))
        for kind in (THEIRS.EventSourceResponse, EventSourceResponse)
    )
    assert mine == theirs
    assert mine.count(b": ping - TIME") == 3


def test_a_stream_that_speaks_is_not_pinged() -> None:
    """Only silence is filled, which is where this differs from a ping every so many seconds."""

    async def speaking() -> AsyncIterator[str]:
        while True:
            yield "x"
            await asyncio.sleep(10)

    assert b"ping" not in run_with_virtual_clock(received_within(EventSourceResponse(speaking()), 65))


@BOTH
def test_a_ping_may_be_of_ones_own_making(kind: Any) -> None:
    """`ping_message_factory` is called for each ping, and `ping` may change until the response is served."""
    numbers = iter(range(100))
    event = ServerSentEvent if kind is EventSourceResponse else EVENT.ServerSentEvent
    response = kind(silent(), ping_message_factory=lambda: event(event="ping", data=next(numbers)))
    response.ping_interval = 2
    received = run_with_virtual_clock(received_within(response, 5))
    assert received == b"data: x\r\n\r\nevent: ping\r\ndata: 0\r\n\r\nevent: ping\r\ndata: 1\r\n\r\n"


@BOTH
@pytest.mark.parametrize("ping", [0, float("inf")])
def test_pings_can_be_turned_off(kind: Any, ping: float) -> None:
    """`ping=0` sends none, ever."""
    received = run_with_virtual_clock(received_within(kind(silent(), ping=ping), 600))
    assert received == b"data: x\r\n\r\n"


@BOTH
def test_a_subclass_may_set_the_interval(kind: Any) -> None:
    """`DEFAULT_PING_INTERVAL` is read from the class of the response."""
    hasty = type("Hasty", (kind,), {"DEFAULT_PING_INTERVAL": 1})
    assert run_with_virtual_clock(received_within(hasty(silent()), 3.5)).count(b": ping") == 3


@BOTH
def test_a_ping_that_cannot_be_made_ends_the_stream(kind: Any) -> None:
    """The factory's exception is raised to the framework, and the body is left incomplete."""
    response = kind(silent(), ping_message_factory=lambda: 1 / 0)

    async def main() -> Any:
        async with open_stream(response, raise_app_errors=False, timeout=60) as stream:
            await stream.until_end()
            return stream.ended, type(stream.error)

    assert run_with_virtual_clock(main()) == (StreamEnd.TRUNCATED, ZeroDivisionError)


# Callbacks


@BOTH
def test_the_close_handler_is_told_of_the_client_leaving(kind: Any) -> None:
    """It is awaited once, with the ASGI message, before the background task."""
    calls: list[object] = []

    async def handler(message: Any) -> None:
        await asyncio.sleep(0)
        calls.append(message)

    background = BackgroundTask(calls.append, "background")
    asyncio.run(leave_after_one(kind(silent(), background=background, client_close_handler_callable=handler)))
    assert calls == [{"type": "http.disconnect"}, "background"]


def test_the_close_handler_need_not_wait_for_the_generator() -> None:
    """It is called while the generator still cleans up, which may wait for what the handler does."""
    told = asyncio.Event()

    async def handler(message: Any) -> None:
        told.set()

    async def content() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            await told.wait()

    asyncio.run(leave_after_one(EventSourceResponse(content(), client_close_handler_callable=handler)))
    assert told.is_set()


def test_the_close_handler_is_not_told_of_a_stream_that_completed() -> None:
    """A server's `http.disconnect` after the whole response is no client's leaving; sse-starlette takes it for one."""
    calls: list[object] = []

    async def handler(message: Any) -> None:
        calls.append(message)

    assert read(EventSourceResponse(items("x"), client_close_handler_callable=handler)).ended is StreamEnd.COMPLETE
    assert calls == []


def test_a_close_handler_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its exception is the application's own, and no failure of the response."""

    async def handler(message: Any) -> None:
        raise ZeroDivisionError

    asyncio.run(leave_after_one(EventSourceResponse(silent(), client_close_handler_callable=handler)))
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [(record.name, "client_close_handler_callable" in record.message) for record in errors] == [
        ("unbroken", True)
    ]


def test_a_callback_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that waits for ever holds the response for no more than `cleanup_timeout`."""
    cancelled: list[object] = []

    async def handler(message: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            cancelled.append(exc)

    response = EventSourceResponse(silent(), client_close_handler_callable=handler, cleanup_timeout=2)

    async def main() -> None:
        async with open_stream(response, timeout=60) as stream:
            await stream.next_event()
            await stream.disconnect()
            await stream.wait_closed()
        await asyncio.sleep(0)

    run_with_virtual_clock(main())
    assert len(cancelled) == 1
    assert "does not end" in caplog.text


@BOTH
def test_the_data_sender_feeds_the_stream(kind: Any) -> None:
    """It runs beside the stream, whose end it is that ends the response."""

    async def main() -> Any:
        sending, receiving = anyio.create_memory_object_stream[Any](1)

        async def sender() -> None:
            async with sending:
                for number in range(3):
                    await sending.send({"data": number})

        async with open_stream(kind(receiving, data_sender_callable=sender)) as stream:
            events = await stream.until_end()
        await receiving.aclose()
        return stream.ended, [event.data for event in events]

    assert asyncio.run(main()) == (StreamEnd.COMPLETE, ["0", "1", "2"])


@BOTH
def test_the_data_sender_ends_with_the_stream(kind: Any) -> None:
    """It is cancelled when the client leaves."""
    ends: list[BaseException] = []

    async def sender() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            ends.append(exc)
            raise

    asyncio.run(leave_after_one(kind(silent(), data_sender_callable=sender)))
    assert len(ends) == 1


def test_a_data_sender_that_fails_because_the_stream_ended_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises when its channel is closed at the other end is not logged as an error."""

    async def main() -> None:
        sending, receiving = anyio.create_memory_object_stream[str](0)

        async def sender() -> None:
            try:
                async with sending:
                    while True:
                        await sending.send("x")
            except asyncio.CancelledError:
                raise anyio.BrokenResourceError from None

        await leave_after_one(EventSourceResponse(receiving, data_sender_callable=sender))

    asyncio.run(main())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@BOTH
def test_a_data_sender_that_fails_fails_the_stream(kind: Any) -> None:
    """Its exception is raised to the framework, and the body is left incomplete."""

    async def sender() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    stream = read(kind(silent(), data_sender_callable=sender))
    assert (stream.ended, type(stream.error)) == (StreamEnd.TRUNCATED, ZeroDivisionError)


@BOTH
def test_head_opens_no_stream(kind: Any) -> None:
    """HEAD has the headers alone; the background task runs, generator and data sender do not."""
    calls: list[str] = []

    async def content() -> AsyncIterator[str]:
        calls.append("content")
        yield "x"

    async def sender() -> None:
        calls.append("sender")

    response = kind(content(), background=BackgroundTask(calls.append, "background"), data_sender_callable=sender)
    stream = read(response, method="HEAD")
    assert (stream.status, stream.received, stream.ended) == (200, b"", StreamEnd.COMPLETE)
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert calls == ["background"]


def test_a_client_that_takes_nothing_is_given_up_after_the_send_timeout() -> None:
    """The generator gets `ClientDisconnected`, and nothing is raised to the server."""
    heard = Heard()

    async def main() -> None:
        async with open_stream(EventSourceResponse(heard.busy(), send_timeout=3), timeout=60) as stream:
            stream.freeze()
            await stream.wait_closed()

    run_with_virtual_clock(main())
    assert isinstance(heard.error, ClientDisconnected)
    assert heard.error.reason is CloseReason.SEND_TIMEOUT


@BOTH
def test_without_a_send_timeout_a_write_waits_for_ever(kind: Any) -> None:
    """None, the default, gives no client up: it may read on after an hour."""
    numbers = itertools.count()

    async def ticking() -> AsyncIterator[int]:
        for number in numbers:
            yield number
            await asyncio.sleep(0)

    async def main() -> None:
        async with open_stream(kind(ticking(), ping=0), timeout=4000) as stream:
            stream.freeze()
            await asyncio.sleep(3600)
            beyond = next(numbers) + 100
            stream.thaw()
            await stream.until(lambda: b"data: %d\r\n" % beyond in stream.received)

    run_with_virtual_clock(main())


@BOTH
def test_the_body_iterator_may_be_wrapped(kind: Any) -> None:
    """`body_iterator` gives the content and takes another in its place, synchronous content too."""

    async def doubled(source: Any) -> AsyncIterator[Any]:
        async for item in source:
            yield item * 2

    for content in (items("a", "b"), iter(["a", "b"])):
        response = kind(content)
        response.body_iterator = doubled(response.body_iterator)
        assert read(response).received == b"data: aa\r\n\r\ndata: bb\r\n\r\n"


@BOTH
def test_compression_is_refused(kind: Any) -> None:
    """As ever."""
    with pytest.raises(NotImplementedError):
        kind([]).enable_compression()


def test_the_response_says_whether_it_is_active() -> None:
    """`active` holds until the stream ends, or its client has left."""
    response = EventSourceResponse(items("x"))
    assert response.active
    read(response)
    assert not response.active


def test_an_error_of_the_generator_is_raised_after_what_it_had_yielded() -> None:
    """The item before it is sent, then `stream-error`, and the body is incomplete: theirs but for that event."""
    theirs, mine = (
        read(kind(items("x", ZeroDivisionError()))) for kind in (THEIRS.EventSourceResponse, EventSourceResponse)
    )
    assert mine.received.startswith(theirs.received)
    assert mine.received.removeprefix(theirs.received).startswith(b"event: stream-error\n")
    assert (
        (mine.ended, type(mine.error)) == (theirs.ended, type(theirs.error)) == (StreamEnd.TRUNCATED, ZeroDivisionError)
    )


@pytest.mark.parametrize("cleanup_timeout", [None, 3600])
def test_a_slow_cleanup_is_waited_for(cleanup_timeout: float | None) -> None:
    """`cleanup_timeout=None` sets no limit to it."""
    cleaned: list[float] = []

    async def content() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3000)
            cleaned.append(asyncio.get_running_loop().time())

    async def main() -> None:
        async with open_stream(EventSourceResponse(content(), cleanup_timeout=cleanup_timeout), timeout=5000) as stream:
            await stream.next_event()

    run_with_virtual_clock(main())
    assert len(cleaned) == 1
