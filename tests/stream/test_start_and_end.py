"""How a response starts and how its body ends."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from tests.stream.support import Recorded
from unbroken import CloseReason, EncodeError, EventSourceResponse, ServerSentEvent, while_connected
from unbroken.errors import ConfigurationError, UnbrokenWarning
from unbroken.observe import Cleanup
from unbroken.stream.exchange import TRUNCATE_PAUSE
from unbroken.testing import DrivenStream, StreamEnd, open_stream, run_with_virtual_clock

pytestmark = pytest.mark.core


def read(app: Any, **options: Any) -> DrivenStream:
    """Run a stream that ends by itself, and return what was seen of it."""

    async def main() -> DrivenStream:
        async with open_stream(app, raise_app_errors=False, **options) as stream:
            await stream.until_end()
        return stream

    return asyncio.run(main())


async def items(*values: object) -> AsyncIterator[object]:
    """Yield the values; raise those that are exceptions."""
    for value in values:
        if isinstance(value, BaseException):
            raise value
        yield value


def test_every_kind_of_item_is_encoded() -> None:
    """Text is data, an event is what it says, bytes are a frame, anything else is JSON."""
    app = Recorded(
        items("text", ServerSentEvent("d", event="e", id="1"), b"data: frame\n\n", {"a": [1, None]}, None, 7)
    )
    stream = read(app)
    assert stream.received == (
        b'data: text\n\nid: 1\nevent: e\ndata: d\n\ndata: frame\n\ndata: {"a":[1,null]}\n\ndata: null\n\ndata: 7\n\n'
    )
    assert stream.ended is StreamEnd.COMPLETE
    assert (app.record.reason, app.record.events, app.record.error) == (CloseReason.COMPLETED, 6, None)
    assert app.record.sent_bytes == len(stream.received)


def test_the_headers_keep_caches_and_proxies_from_holding_events_back() -> None:
    """No caching, no transformation, no buffering, no `Connection`; what the caller gave wins."""
    stream = read(EventSourceResponse(items("x"), status_code=201, headers={"Cache-Control": "private", "X-A": "b"}))
    assert stream.status == 201
    assert stream.headers == {
        "cache-control": "private",
        "content-type": "text/event-stream; charset=utf-8",
        "x-a": "b",
        "x-accel-buffering": "no",
        "stream-heartbeat": "15",
    }
    assert read(EventSourceResponse(items("x"))).headers["cache-control"] == "no-store, no-transform"


def test_head_is_answered_with_headers_only() -> None:
    """HEAD ends at once, and the generator never runs."""
    steps: list[int] = []

    async def generator() -> AsyncIterator[str]:
        steps.append(1)
        yield "x"

    stream = read(EventSourceResponse(generator()), method="HEAD")
    assert (stream.received, stream.ended, steps) == (b"", StreamEnd.COMPLETE, [])
    assert stream.headers["content-type"].startswith("text/event-stream")


def test_retry_is_told_first() -> None:
    """The reconnection time stands before the first event."""
    assert read(EventSourceResponse(items("x"), retry=2500)).received == b"retry: 2500\n\ndata: x\n\n"


def test_an_empty_generator_is_an_empty_stream() -> None:
    """No item, no error: a complete response without a body."""
    stream = read(EventSourceResponse(items()))
    assert (stream.status, stream.received, stream.ended) == (200, b"", StreamEnd.COMPLETE)


def test_an_error_before_the_first_item_has_its_real_status() -> None:
    """An HTTPException within `start_grace` reaches the framework before anything was sent."""
    app = Recorded(items(HTTPException(403)))

    async def main() -> BaseException | None:
        async with open_stream(app, raise_app_errors=False, wait_for_start=False) as stream:
            await stream.wait_closed()
            assert not stream.has_started
            return stream.error

    error = asyncio.run(main())
    assert isinstance(error, HTTPException)
    assert error.status_code == 403
    assert (app.record.reason, app.record.first_byte) == (CloseReason.PRODUCER_ERROR, None)


def test_no_item_before_an_error_is_lost_and_the_error_is_visible() -> None:
    """Items yielded right before an exception arrive, then `stream-error` without internals, then a truncated body."""
    app = Recorded(items("a", "b", ValueError("secret")))
    stream = read(app)
    assert stream.received == b'data: a\n\ndata: b\n\nevent: stream-error\ndata: {"reason":"producer_error"}\n\n'
    assert stream.ended is StreamEnd.TRUNCATED
    assert isinstance(stream.error, ValueError)
    assert app.record.reason is CloseReason.PRODUCER_ERROR
    assert isinstance(app.record.error, ValueError)


def test_a_page_has_time_to_read_why_the_body_breaks_off() -> None:
    """Between `stream-error` and the break: a browser drops what its page has not read by then."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with open_stream(Recorded(items("a", ValueError())), raise_app_errors=False) as stream:
            await stream.events(2)
            told = loop.time()
            await stream.until_end()
            return loop.time() - told

    assert run_with_virtual_clock(main()) == pytest.approx(TRUNCATE_PAUSE, abs=0.01)


def test_a_cancellation_before_the_break_does_not_mend_the_body() -> None:
    """Where a server would complete it after an exception, it is truncated all the same."""
    truncated = list[bool]()

    class Truncating:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def truncate(self) -> None:
            truncated.append(True)

    class Watched(EventSourceResponse):
        def _exchange(self, start: Any, send: Any, connection: Any) -> Any:
            return super()._exchange(start, send, Truncating(connection))

    async def main() -> None:
        told = asyncio.Event()

        async def send(message: Any) -> None:
            if b"stream-error" in message.get("body", b""):
                told.set()

        async def receive() -> Any:
            await asyncio.Event().wait()

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        answering = asyncio.create_task(Watched(items("a", ValueError()))(scope, receive, send))
        await told.wait()
        await asyncio.sleep(TRUNCATE_PAUSE / 2)
        answering.cancel()
        await asyncio.wait((answering,))

    run_with_virtual_clock(main())
    assert truncated == [True]


def test_after_start_grace_the_headers_leave_alone() -> None:
    """A first item that is late does not hold the headers back; an error is then told in the stream."""

    async def late() -> AsyncIterator[str]:
        await asyncio.sleep(2)
        raise HTTPException(403)
        yield ""

    async def main() -> tuple[float, DrivenStream]:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with open_stream(Recorded(late(), start_grace=1.0), raise_app_errors=False) as stream:
            started = loop.time() - begin
            await stream.until_end()
        return started, stream

    started, stream = run_with_virtual_clock(main())
    assert 1.0 <= started < 1.2
    assert stream.status == 200
    assert stream.received.startswith(b": keep-alive\n\nevent: stream-error\n")


def test_without_a_grace_the_headers_leave_at_once() -> None:
    """`start_grace=0` sends them before the generator's first step, and nothing with them."""
    order: list[str] = []

    async def generator() -> AsyncIterator[str]:
        order.append("step")
        yield "x"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Any) -> None:
            order.append(message["type"])
            await send(message)

        await EventSourceResponse(generator(), start_grace=0)(scope, receive, noting)

    stream = read(app)
    assert order[:3] == ["http.response.start", "step", "http.response.body"]
    assert stream.received == b"data: x\n\n"


def test_an_item_that_cannot_be_encoded_is_raised_at_its_yield() -> None:
    """EncodeError comes out of the very yield that gave the item; what it does not break is delivered."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[object]:
        yield "a"
        try:
            yield object()
        except EncodeError as exc:
            seen.append(str(exc))
        yield "b"

    stream = read(EventSourceResponse(generator()))
    assert stream.received == b"data: a\n\ndata: b\n\n"
    assert len(seen) == 1
    assert "object" in seen[0]


def test_an_exception_group_of_the_producer_is_an_error() -> None:
    """Several failures at once are raised as what they are."""
    stream = read(Recorded(items("a", ExceptionGroup("two", [ValueError(), KeyError()]))))
    assert isinstance(stream.error, ExceptionGroup)


def test_a_cancellation_from_nowhere_is_an_error() -> None:
    """A generator that raises CancelledError unasked has failed: it looks neither finished nor cancelled."""
    app = Recorded(items("a", asyncio.CancelledError()))
    stream = read(app)
    assert isinstance(stream.error, RuntimeError)
    assert app.record.reason is CloseReason.PRODUCER_ERROR


def test_text_that_looks_like_a_frame_is_data_and_is_warned_of() -> None:
    r"""`yield "data: x\n\n"` in the main API is data, with a warning that names the ways out."""

    async def generator() -> AsyncIterator[str]:
        yield "data: x\n\n"

    with pytest.warns(UnbrokenWarning, match="preframed"):
        stream = read(EventSourceResponse(generator()))
    assert stream.received == b"data: data: x\ndata:\ndata:\n\n"


def test_preframed_text_is_wire_text() -> None:
    """`preframed=True` sends text as it is, and other items as ever."""
    stream = read(EventSourceResponse(items("data: x\n\n", b": c\n\n", {"a": 1}), preframed=True))
    assert stream.received == b'data: x\n\n: c\n\ndata: {"a":1}\n\n'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heartbeat": 0}, "heartbeat=0"),
        ({"heartbeat": True}, "heartbeat=True"),
        ({"send_timeout": -1.0}, "send_timeout=-1.0"),
        ({"max_age": float("nan")}, "max_age=nan"),
        ({"start_grace": -0.1}, "start_grace=-0.1"),
        ({"cleanup_timeout": "5"}, "cleanup_timeout='5'"),
    ],
)
def test_a_time_out_of_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    """The error names the argument, its value and what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        EventSourceResponse(items(), **options)


def test_content_that_is_no_stream_is_refused() -> None:
    """A coroutine, a forgotten call and a plain string each get an error that says what to give instead."""

    async def endpoint() -> str:
        return "x"

    def generator() -> Iterator[str]:
        yield "x"

    for content in (endpoint(), generator, "text", 5):
        with pytest.raises(ConfigurationError, match="content is"):
            EventSourceResponse(content)  # type: ignore[arg-type]


def test_a_retry_that_cannot_be_written_is_refused() -> None:
    """The reconnection time is checked when the response is made, not when it is sent."""
    with pytest.raises(EncodeError):
        EventSourceResponse(items(), retry=-1)


def test_an_async_iterable_that_is_no_generator_is_streamed_and_closed() -> None:
    """An object with `__aiter__` works, and its `aclose` is awaited when the client leaves."""
    closed: list[bool] = []

    class Source:
        def __aiter__(self) -> Source:
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(0)
            return "x"

        async def aclose(self) -> None:
            await asyncio.sleep(0)
            closed.append(True)

    async def main() -> None:
        async with open_stream(Recorded(Source())) as stream:
            await stream.events(3)

    asyncio.run(main())
    assert closed == [True]


def test_on_close_and_background_run_after_the_stream() -> None:
    """Both run once the generator is done, also when the client left; a coroutine function is awaited."""
    order: list[str] = []

    async def generator() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            order.append("finally")

    async def on_close(record: object) -> None:
        await asyncio.sleep(0)
        order.append("on_close")

    async def background() -> None:
        order.append("background")

    async def main() -> None:
        response = EventSourceResponse(generator(), on_close=on_close, background=background)  # type: ignore[arg-type]
        async with open_stream(response) as stream:
            await stream.next_event()

    asyncio.run(main())
    assert order == ["finally", "on_close", "background"]


def test_a_fault_of_on_close_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The stream has ended; what its callback raises is an error in the log."""

    def on_close(record: object) -> None:
        raise ValueError("callback")

    stream = read(EventSourceResponse(items("x"), on_close=on_close))
    assert stream.ended is StreamEnd.COMPLETE
    assert [record.levelname for record in caplog.records if record.levelno > 20] == ["ERROR"]


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("ending", ["leaves", "leaves at a yield", "leaves in a scope", "fails", "completes"])
def test_nothing_of_a_stream_waits_for_the_garbage_collector(ending: str, kind: str) -> None:  # noqa: C901
    """Generator, response and exchange are freed by their last reference, not by a collection seconds later.

    A timer that was cancelled, which the loop keeps until its time would have come, does not keep them either.
    """

    class Held:
        pass

    async def asynchronous(held: Held) -> AsyncIterator[str]:
        yield "x"
        if ending == "fails":
            raise ValueError
        if ending == "leaves":
            await asyncio.sleep(3600)
        while ending == "leaves at a yield":
            yield "x"
        if ending == "leaves in a scope":
            async with while_connected():
                await asyncio.sleep(3600)

    def synchronous(held: Held) -> Iterator[str]:
        yield "x"
        if ending == "fails":
            raise ValueError
        while ending.startswith("leaves"):
            yield "x"

    async def main() -> list[bool]:
        held = Held()
        encode = Encode()
        references: list[weakref.ref[Any]] = [weakref.ref(held), weakref.ref(encode)]
        app = EventSourceResponse(asynchronous(held) if kind == "asynchronous" else synchronous(held))
        app.encode = encode
        del held, encode
        async with open_stream(app, raise_app_errors=False) as stream:
            del app
            await stream.next_event()
            if not ending.startswith("leaves"):
                await stream.until_end()
        del stream
        return [reference() is not None for reference in references]

    class Encode:
        """Held by response and producer alone: its end is theirs."""

        def __call__(self, item: object) -> bytes:
            return b"data: x\n\n"

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main()) == [False, False]
    finally:
        gc.enable()


def test_a_server_whose_send_raises_is_a_disconnect() -> None:
    """From ASGI 2.4 on `send` raises OSError; the stream ends with `write_failed` and no traceback."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                while True:
                    yield "x"
                    await asyncio.sleep(0)
        except ConnectionResetError as exc:
            seen.append(str(exc))

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        """A server that tells of the disconnect by `send` alone."""
        await app(scope, asyncio.Event().wait, send)

    async def main() -> None:
        async with open_stream(deaf, send_raises=True, spec_version="2.4") as stream:
            await stream.next_event()
            await stream.disconnect()
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert len(seen) == 1
    assert app.record.reason is CloseReason.WRITE_FAILED
    assert isinstance(app.record.error, OSError)
    assert app.record.cleanup is Cleanup.FINISHED


@pytest.mark.parametrize("spec_version", ["2.0", "2.3", "2.4", "2.5"])
def test_an_idle_stream_learns_of_its_client_s_leaving_whatever_the_server_declares(spec_version: str) -> None:
    """It listens on `receive()` always."""

    async def idle() -> AsyncIterator[str]:
        yield "x"
        await asyncio.Event().wait()

    async def main() -> None:
        async with open_stream(app, spec_version=spec_version, send_raises=True) as stream:
            await stream.next_event()
            await stream.disconnect()
            await stream.wait_closed()

    app = Recorded(idle())
    asyncio.run(main())
    assert app.record.reason is CloseReason.CLIENT_CLOSED
