"""An application's own stream under a guard: what it is told, and what its client gets."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from tests.stream.guarding import END, ERROR, START, App, Guarded, no_other_tasks, piece, read, sending
from unbroken import ClientDisconnected, CloseReason, ServerClosing
from unbroken.observe import Cleanup
from unbroken.stream.drain import drain
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock

pytestmark = pytest.mark.core


def leave(app: Any, after: bytes = b"x", **options: Any) -> None:
    """Open a stream, read it up to an event, leave, and wait for the application's end."""

    async def main() -> None:
        async with open_stream(app, timeout=1000, **options) as stream:
            while (await stream.next_event()).data != after.decode():
                pass
            await stream.disconnect()
            await stream.wait_closed()
        await no_other_tasks()

    run_with_virtual_clock(main())


# What the application is told of its client's leaving.


@pytest.mark.parametrize("send_raises", [False, True])
def test_send_raises_after_the_client_has_left_every_time(send_raises: bool) -> None:
    """It is an OSError, as ASGI 2.4 has it, on servers that raise one and on those that say nothing."""
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while len(seen) < 3:
            try:
                await send(piece(b"data: x\n\n"))
                await asyncio.sleep(0.1)
            except OSError as exc:
                seen.append(exc)

    guarded = Guarded(app)
    leave(guarded, send_raises=send_raises)
    assert [type(exc) for exc in seen] == [ClientDisconnected] * 3
    assert guarded.record.reason is CloseReason.CLIENT_CLOSED
    assert guarded.record.cleanup is Cleanup.FINISHED


def test_a_send_that_waited_for_the_client_raises_too() -> None:
    """The one during which the client leaves is the first to say so."""
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        number = 0
        try:
            while True:
                number += 1
                await send(piece(b"data: %d\n\n" % number))
        except OSError as exc:
            seen.append(exc)
            seen.append(number)

    async def main() -> None:
        async with open_stream(guarded, buffer_messages=2) as stream:
            stream.freeze()
            await asyncio.sleep(1)
            await stream.disconnect()
            await stream.wait_closed()

    guarded = Guarded(app)
    run_with_virtual_clock(main())
    assert isinstance(seen[0], ClientDisconnected)
    assert guarded.record.events == int(str(seen[1])) - 1
    assert guarded.record.discarded == 1


@pytest.mark.parametrize("began", ["before", "after"])
def test_receive_gives_the_disconnect_again_and_again(began: str) -> None:
    """Also to one that began to wait before there was a stream."""
    received: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            assert (await receive())["type"] == "http.request"
            received.extend([(await receive())["type"] for _ in range(3)])

        listening = asyncio.create_task(listen()) if began == "before" else None
        await asyncio.sleep(0.1)
        await send(START)
        await send(piece(b"data: x\n\n"))
        await (listening or listen())

    guarded = Guarded(app)
    leave(guarded)
    assert received == ["http.disconnect"] * 3
    assert guarded.record.reason is CloseReason.CLIENT_CLOSED


def test_an_application_that_does_neither_is_cancelled_after_a_second() -> None:
    """Its task has no cancellation left in it afterwards, and its end is no error."""
    seen: list[float] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append(round(asyncio.get_running_loop().time() - began))
            await asyncio.sleep(5)  # a cleanup may await

    guarded = Guarded(app)
    leave(guarded)
    assert seen == [1]
    assert guarded.cancelling == [0]
    assert (guarded.record.reason, guarded.record.cleanup) == (CloseReason.CLIENT_CLOSED, Cleanup.FINISHED)


@pytest.mark.parametrize("answer", ["returns", "fails", "ends the body"])
def test_a_cancellation_that_is_swallowed_is_taken_back_too(answer: str) -> None:
    """Whatever the application makes of it: what comes after it in the task can be cancelled as ever."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if answer == "fails":
                raise KeyError("x") from None
            if answer == "ends the body":
                await send(piece(b"", more_body=False))

    guarded = Guarded(app)
    leave(guarded)
    assert guarded.cancelling == [0]
    assert guarded.record.cleanup is (Cleanup.FAILED if answer == "fails" else Cleanup.FINISHED)


def test_an_application_that_resists_is_left_behind() -> None:
    """Its stream is on record long before it ends, and what it raises then is its own error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))
        end = asyncio.get_running_loop().time() + 60
        while asyncio.get_running_loop().time() < end:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
        raise KeyError("late")

    async def main() -> BaseException | None:
        async with open_stream(guarded, timeout=1000, raise_app_errors=False) as stream:
            await stream.next_event()
            await stream.disconnect()
            await asyncio.sleep(30)
            assert (len(guarded.records), guarded.cancelling) == (1, [])
            await stream.wait_closed()
            return stream.error

    guarded = Guarded(app)
    assert isinstance(run_with_virtual_clock(main()), KeyError)
    assert guarded.record.cleanup is Cleanup.ABANDONED
    assert guarded.record.duration < 20
    assert guarded.cancelling == [0]


# Cancellations that are not the guard's.


async def asyncio_timeout(seconds: float, called: Awaitable[None]) -> bool:
    """Give something so many seconds, and say whether it took longer."""
    try:
        async with asyncio.timeout(seconds):
            await called
    except TimeoutError:
        return True
    return False


async def anyio_timeout(seconds: float, called: Awaitable[None]) -> bool:
    """Do the same with a scope of anyio's."""
    with anyio.move_on_after(seconds) as scope:
        await called
    return scope.cancelled_caught


@pytest.mark.parametrize("timeout", [asyncio_timeout, anyio_timeout])
def test_a_timeout_around_the_guard_stays_one(timeout: Callable[[float, Awaitable[None]], Awaitable[bool]]) -> None:
    """The application is cancelled and may clean up, and the timeout knows its own cancellation."""
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await timeout(5, guarded(scope, receive, send)))
        task = asyncio.current_task()
        assert task is not None
        seen.append(task.cancelling())

    guarded = Guarded(app)
    read(timed)
    assert seen == ["cancelled", True, 0]
    assert guarded.record.reason is CloseReason.SHUTDOWN


def test_a_cancellation_by_the_server_stays_one() -> None:
    """The task is cancelled in the end, and the record says that the server ended the stream."""

    async def main() -> StreamEnd | None:
        async with open_stream(guarded) as stream:
            await stream.next_event()
            await stream.cancel()
            await stream.wait_closed()
            assert stream._app.cancelled()
            return stream.ended

    guarded = Guarded(sending(b"data: x\n\n", waits=True))
    assert run_with_virtual_clock(main()) is StreamEnd.TRUNCATED
    assert guarded.record.reason is CloseReason.SHUTDOWN
    assert guarded.record.error is None


def test_a_cancellation_by_the_server_beside_our_own_stays_one() -> None:
    """Of an application that is being cancelled because its client has left."""

    async def main() -> None:
        async with open_stream(guarded, timeout=1000) as stream:
            await stream.next_event()
            await stream.disconnect()
            await asyncio.sleep(2)  # cancelled by us, it cleans up
            await stream.cancel()
            await stream.wait_closed()
            assert stream._app.cancelled()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(5)

    guarded = Guarded(app)
    run_with_virtual_clock(main())
    assert guarded.cancelling == [1]
    assert guarded.record.reason is CloseReason.CLIENT_CLOSED


def test_a_cancellation_that_nobody_made_is_the_application_s_error() -> None:
    """As of one that awaits a task which somebody cancelled; it is raised as it is."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))
        broken = asyncio.get_running_loop().create_future()
        broken.cancel()
        await broken

    guarded = Guarded(app)
    stream = read(guarded)
    assert stream._app.cancelled()
    assert stream.received == b"data: x\n\n" + ERROR
    assert guarded.record.reason is CloseReason.PRODUCER_ERROR


# The stream's orderly end.


async def no(_: object) -> bool:
    """Revoke the right to read."""
    return False


@pytest.mark.parametrize("reason", [CloseReason.MAX_AGE, CloseReason.REVOKED, CloseReason.SHUTDOWN])
def test_the_server_s_end_is_told_once_and_a_farewell_passes(reason: CloseReason) -> None:
    """`send` raises `ServerClosing`; what is sent after that still arrives, then `stream-end` and the body's end."""
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send(piece(b"data: x\n\n"))
                await asyncio.sleep(0.9)
        except ServerClosing as exc:
            seen.append(exc.reason)
        for _ in range(2):
            await send(piece(b"data: bye\n\n"))
            await asyncio.sleep(1)
        await send(piece(b"", more_body=False))

    async def main() -> bytes:
        async with open_stream(guarded, timeout=1000) as stream:
            if reason is CloseReason.SHUTDOWN:
                await asyncio.sleep(10)
                assert await drain() == 1
            await stream.until_end()
            await stream.wait_closed()
            assert stream.ended is StreamEnd.COMPLETE
            return stream.received

    options: dict[CloseReason, dict[str, Any]] = {
        CloseReason.MAX_AGE: {"max_age": 10, "max_age_jitter": 0},
        CloseReason.REVOKED: {"revalidate": no, "revalidate_interval": 10},
        CloseReason.SHUTDOWN: {"drain_retry": (1234, 1234), "drain_grace": 5},
    }
    guarded = Guarded(app, **options[reason])
    retry = b"retry: 1234\n\n" if reason is CloseReason.SHUTDOWN else b""
    last_words = b"data: bye\n\n" * 2 + retry + END % reason.encode()
    assert run_with_virtual_clock(main()) == b"data: x\n\n" * 12 + last_words
    assert seen == [reason]
    assert (guarded.record.reason, guarded.record.cleanup) == (reason, Cleanup.FINISHED)
    assert (guarded.record.events, guarded.cancelling) == (14, [0])


def test_one_that_heard_of_the_end_by_receive_is_not_told_again() -> None:
    """What it sends from then on is its farewell."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        assert (await receive())["type"] == "http.disconnect"
        await send(piece(b"data: bye\n\n"))

    guarded = Guarded(app, max_age=10, heartbeat=None, start_grace=20)
    assert read(guarded).received == b"data: bye\n\n" + END % b"max_age"


def test_a_farewell_ends_with_its_time() -> None:
    """An application that talks on is cancelled after `cleanup_timeout`; the body is still ended in good order."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while True:
            with suppress(OSError):
                await send(piece(b"data: x\n\n"))
            await asyncio.sleep(1)

    guarded = Guarded(app, max_age=10, max_age_jitter=0, cleanup_timeout=5)
    stream = read(guarded)
    assert stream.ended is StreamEnd.COMPLETE
    assert stream.received.endswith(END % b"max_age")
    assert guarded.record.events == pytest.approx(15, abs=1)
    assert guarded.record.cleanup is Cleanup.CANCELLED
    assert guarded.cancelling == [0]


# The application's own end.


def test_an_error_before_the_first_byte_is_a_real_one() -> None:
    """Nothing has left, so the framework can still answer with an error."""
    guarded = Guarded(sending(KeyError("x")))
    stream = read(guarded)
    assert isinstance(stream.error, KeyError)
    assert not stream.has_started
    assert (guarded.record.reason, guarded.record.first_byte) == (CloseReason.PRODUCER_ERROR, None)


def test_an_error_between_events_is_visible() -> None:
    """What was sent arrives, then `stream-error`, then an incomplete body; the framework gets the error as it was."""
    guarded = Guarded(sending(b"data: x\n\n", KeyError("secret")))
    stream = read(guarded)
    assert (stream.received, stream.ended) == (b"data: x\n\n" + ERROR, StreamEnd.TRUNCATED)
    assert isinstance(stream.error, KeyError)
    places = [frame.name for frame in traceback.extract_tb(stream.error.__traceback__)]
    assert places[-2:] == ["__call__", "app"]
    assert not any("exchange" in frame.filename for frame in traceback.extract_tb(stream.error.__traceback__))
    assert stream.error.__context__ is None
    assert (guarded.record.reason, guarded.record.error) == (CloseReason.PRODUCER_ERROR, stream.error)


def test_an_error_inside_an_event_adds_nothing_to_it() -> None:
    """The reader drops half an event at the body's end; more bytes could complete it."""
    stream = read(Guarded(sending(b"data: x\n\ndata: y\n", KeyError("x"))))
    assert (stream.received, stream.ended) == (b"data: x\n\ndata: y\n", StreamEnd.TRUNCATED)
    assert isinstance(stream.error, KeyError)


def test_an_application_that_returns_too_early_is_seen_to_have_failed() -> None:
    """A body without its end is incomplete; the server says so in its log, as it does without a guard."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))

    guarded = Guarded(app)
    stream = read(guarded)
    assert (stream.received, stream.ended, stream.error) == (b"data: x\n\n" + ERROR, StreamEnd.TRUNCATED, None)
    assert guarded.record.reason is CloseReason.PRODUCER_ERROR


GROUP = BaseExceptionGroup("of a task group", [BrokenPipeError(), ExceptionGroup("inside", [anyio.EndOfStream()])])
CANCELLED = BaseExceptionGroup("of another", [BrokenPipeError(), asyncio.CancelledError()])


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(), BrokenPipeError(), ClientDisconnect(), anyio.ClosedResourceError(),
        anyio.BrokenResourceError(), anyio.EndOfStream(), GROUP, CANCELLED, None,
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_is_raised_because_the_client_left_goes_no_further(
    error: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no error, and nothing above INFO is logged."""
    told: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send(piece(b"data: x\n\n"))
                await asyncio.sleep(0.5)
        except OSError as exc:
            told.append(exc)
            raise (error or exc) from None

    guarded = Guarded(app)
    with caplog.at_level(logging.INFO):
        leave(guarded)
    assert len(told) == 1
    assert (guarded.record.reason, guarded.record.error) == (CloseReason.CLIENT_CLOSED, None)
    assert [record.levelname for record in caplog.records if record.name != "asyncio"] == ["INFO"]


def test_what_fails_after_the_client_left_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    """It is the application's cleanup that failed: an error in the log, with its traceback, and in the record."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"data: x\n\n"))
        await receive()
        await receive()
        raise ExceptionGroup("both", [BrokenPipeError(), KeyError("x")])

    guarded = Guarded(app)
    leave(guarded)
    assert (guarded.record.reason, guarded.record.cleanup) == (CloseReason.CLIENT_CLOSED, Cleanup.FAILED)
    assert isinstance(guarded.record.error, ExceptionGroup)
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


def streaming_in_background(task: Any) -> App:
    """Return a response with something to do afterwards."""

    async def events() -> AsyncIterator[str]:
        yield "data: x\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", background=BackgroundTask(task))


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_the_record_does_not_wait_for_what_is_done_afterwards(spec_version: str) -> None:
    """A background task may take longer than any cleanup; the stream has ended before it."""

    async def task() -> None:
        seen.append(len(guarded.records))
        await asyncio.sleep(60)
        seen.append(len(guarded.records))

    seen: list[int] = []
    guarded = Guarded(streaming_in_background(task))
    stream = read(guarded, spec_version=spec_version)
    assert (stream.received, stream.ended, stream.error) == (b"data: x\n\n", StreamEnd.COMPLETE, None)
    assert seen[1] == 1
    assert guarded.record.reason is CloseReason.COMPLETED
    assert guarded.record.duration < 1


@pytest.mark.parametrize("error", [KeyError("x"), ConnectionResetError("of a database")])
def test_what_fails_afterwards_is_raised(error: Exception) -> None:
    """The stream was complete, so this has nothing to do with it, and is not swallowed."""

    async def task() -> None:
        raise error

    guarded = Guarded(streaming_in_background(task))
    stream = read(guarded)
    assert stream.error is error
    assert (guarded.record.reason, guarded.record.error) == (CloseReason.COMPLETED, None)


@pytest.mark.parametrize("more_body", [True, False])
def test_nothing_is_sent_after_the_end(more_body: bool) -> None:
    """An application that sends on is told its mistake, as servers tell it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        ending = asyncio.create_task(send(piece(b"data: x\n\n", more_body=False)))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="after its end"):
            await send(piece(b"data: y\n\n", more_body))
        await ending
        with pytest.raises(RuntimeError, match="twice"):
            await send(START)

    stream = read(Guarded(app))
    assert (stream.received, stream.ended, stream.error) == (b"data: x\n\n", StreamEnd.COMPLETE, None)
