"""How `AppStatus` and `shutdown_event` end the streams of `unbroken.compat.sse_starlette`."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from tests.compat.support import Heard, leave_after_one, read, silent
from unbroken import CloseReason, ServerClosing
from unbroken.compat.sse_starlette import AppStatus, EventSourceResponse
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock


@pytest.fixture(autouse=True)
def _no_exit() -> Iterator[None]:
    yield
    AppStatus.should_exit = False
    AppStatus.enable_automatic_graceful_drain_mode()
    AppStatus.original_handler = None


async def seen_at_exit(response: EventSourceResponse, trigger: Callable[[], object] | None = None) -> Any:
    """Have the application exit once the first event was read; return the end and the further events' types."""
    async with open_stream(response, timeout=60) as stream:
        await stream.next_event()
        if trigger is None:
            AppStatus.should_exit = True
        else:
            trigger()
        events = await stream.until_end()
        await stream.wait_closed()
    return stream.ended, [event.event for event in events if event.data != "x"]


def test_should_exit_ends_a_stream_that_waits() -> None:
    """The generator is cancelled once, its cleanup may await, and the stream ends in good order."""
    heard = Heard()
    assert asyncio.run(seen_at_exit(EventSourceResponse(heard.waiting()))) == (StreamEnd.COMPLETE, ["stream-end"])
    assert (type(heard.error), heard.cleaned) == (asyncio.CancelledError, True)


def test_should_exit_is_raised_at_a_yield() -> None:
    """A busy generator gets `ServerClosing` with the reason `shutdown`."""
    heard = Heard()
    assert asyncio.run(seen_at_exit(EventSourceResponse(heard.busy()))) == (StreamEnd.COMPLETE, ["stream-end"])
    assert isinstance(heard.error, ServerClosing)
    assert heard.error.reason is CloseReason.SHUTDOWN


def test_the_close_handler_is_not_told_of_a_shutdown() -> None:
    """It is the client's leaving that it is for."""
    calls: list[object] = []

    async def handler(message: Any) -> None:
        calls.append(message)

    asyncio.run(seen_at_exit(EventSourceResponse(silent(), client_close_handler_callable=handler)))
    assert calls == []


async def cooperative(event: anyio.Event) -> AsyncIterator[Any]:
    """Wait for the shutdown and say farewell."""
    yield "x"
    await event.wait()
    yield {"event": "farewell", "data": "bye"}


def test_the_shutdown_event_lets_a_generator_say_farewell() -> None:
    """Within the grace period it ends by itself, and its last event is its own."""

    async def main() -> Any:
        event = anyio.Event()
        response = EventSourceResponse(cooperative(event), shutdown_event=event, shutdown_grace_period=5)
        return await seen_at_exit(response)

    assert asyncio.run(main()) == (StreamEnd.COMPLETE, ["farewell"])


def test_a_generator_that_does_not_heed_the_event_is_ended_after_the_grace() -> None:
    """The grace period passes in full, and then the stream is closed."""

    async def main() -> tuple[Any, float]:
        event = anyio.Event()
        heard = Heard()
        response = EventSourceResponse(heard.waiting(), shutdown_event=event, shutdown_grace_period=5)
        seen = await seen_at_exit(response)
        assert event.is_set()
        assert heard.cleaned
        return seen, asyncio.get_running_loop().time()

    seen, took = run_with_virtual_clock(main())
    assert seen == (StreamEnd.COMPLETE, ["stream-end"])
    assert 5 <= took < 6


def test_the_event_alone_ends_nothing() -> None:
    """Set by the application itself it is for the generator to heed, as before: nothing is cut."""

    async def main() -> Any:
        event = anyio.Event()
        return await seen_at_exit(EventSourceResponse(cooperative(event), shutdown_event=event), event.set)

    assert asyncio.run(main()) == (StreamEnd.COMPLETE, ["farewell"])


def test_the_exit_may_come_from_another_thread() -> None:
    """A signal handler or a thread may set it; every stream hears of it, on its own loop."""

    def in_thread() -> None:
        thread = threading.Thread(target=setattr, args=(AppStatus, "should_exit", True))
        thread.start()
        thread.join()

    async def main() -> Any:
        responses = [EventSourceResponse(silent()) for _ in range(3)]
        return await asyncio.gather(
            seen_at_exit(responses[0], in_thread), *(seen_at_exit(response, str) for response in responses[1:])
        )

    assert asyncio.run(main()) == [(StreamEnd.COMPLETE, ["stream-end"])] * 3


def test_a_stream_that_begins_after_the_exit_ends_at_once() -> None:
    """It starts, and is closed."""
    AppStatus.should_exit = True
    stream = read(EventSourceResponse(silent()))
    assert (stream.status, stream.ended) == (200, StreamEnd.COMPLETE)
    assert b"stream-end" in stream.received


def test_handle_exit_is_a_signal_handler() -> None:
    """It ends the streams and calls the handler before it; the drain may be disabled."""
    calls: list[object] = []
    AppStatus.original_handler = lambda *args: calls.append(args)
    AppStatus.disable_automatic_graceful_drain()
    AppStatus.handle_exit(15, None)
    assert (AppStatus.should_exit, calls) == (False, [(15, None)])
    AppStatus.enable_automatic_graceful_drain_mode()
    AppStatus.handle_exit(15, None)
    assert (AppStatus.should_exit, len(calls)) == (True, 2)


def test_nothing_is_left_of_a_stream() -> None:
    """Without a collector the generator and the response are freed, and a later exit finds nobody."""

    async def handler(message: Any) -> None: ...

    async def serve() -> list[weakref.ref[Any]]:
        content = silent()
        response = EventSourceResponse(content, client_close_handler_callable=handler, shutdown_grace_period=100)
        references: list[weakref.ref[Any]] = [weakref.ref(content), weakref.ref(response)]
        del content
        await leave_after_one(response)
        return references

    async def main() -> None:
        references = await serve()
        await asyncio.sleep(0)
        assert [reference() for reference in references] == [None, None]
        AppStatus.should_exit = True
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
