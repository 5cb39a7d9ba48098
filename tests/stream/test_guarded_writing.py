"""How a guarded stream is written, counted, and let go of."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from tests.stream.guarding import CONTENT_TYPE, ERROR, START, App, Guarded, no_other_tasks, piece, read
from unbroken import ClientDisconnected, CloseReason, EventSourceResponse, EventStreamGuard
from unbroken.observe import open_streams
from unbroken.stream.drain import drain
from unbroken.testing import open_stream, run_with_virtual_clock
from unbroken.wire import HEARTBEAT

pytestmark = pytest.mark.core


def test_several_senders_write_whole_messages_in_order() -> None:
    """Who sends first is written first, also while the client is slow; one that is cancelled leaves out its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        sends = []
        for number in range(100):
            sends.append(asyncio.create_task(send(piece(b"data: %d\n\n" % number))))
            await asyncio.sleep(0.01 * (number % 3))
        for number in range(60, 100, 10):
            sends[number].cancel()
        await asyncio.gather(*sends, return_exceptions=True)
        await send(piece(b"", more_body=False))

    async def main() -> list[int]:
        async with open_stream(guarded, buffer_messages=4, timeout=1000) as stream:
            stream.freeze()
            await asyncio.sleep(30)
            stream.thaw()
            return [int(event.data) for event in await stream.until_end()]

    guarded = Guarded(app)
    received = run_with_virtual_clock(main())
    assert received == [number for number in range(100) if number not in range(60, 100, 10)]
    assert guarded.record.events == 96


def test_a_send_that_is_cancelled_while_it_waits_tears_nothing() -> None:
    """The message is written whole, once there is room."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for number in range(20):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await send(piece(b"data: %d " % number + b"x" * 100_000 + b"\n\n"))
                    continue
            await asyncio.sleep(100)
        await send(piece(b"", more_body=False))

    async def main() -> list[int]:
        async with open_stream(guarded, buffer_messages=1, timeout=1000) as stream:
            stream.freeze()
            await asyncio.sleep(10)
            stream.thaw()
            return [int(event.data.split()[0]) for event in await stream.until_end()]

    guarded = Guarded(app)
    assert run_with_virtual_clock(main()) == list(range(20))


def test_an_error_while_a_message_is_being_written_comes_after_it() -> None:
    """Two writes never overlap: some servers would mix them."""
    inside: list[int] = [0]
    received = bytearray()

    async def slow(message: Any) -> None:
        assert inside == [0]
        inside[0] += 1
        await asyncio.sleep(10)
        inside[0] -= 1
        received.extend(message.get("body", b""))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        async with asyncio.timeout(15):
            await send(piece(b"data: x\n\n"))
            await send(piece(b"data: y\n\n"))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await guarded({"type": "http", "method": "GET", "path": "/", "headers": []}, asyncio.Event().wait, slow)

    guarded = Guarded(app)
    run_with_virtual_clock(main())
    assert received == b"data: x\n\n" + ERROR


@pytest.mark.parametrize("start_grace", [0, 5])
def test_headers_that_leave_alone_leave_first(start_grace: float) -> None:
    """A server that takes them slowly is given nothing else meanwhile."""
    taken: list[str] = []

    async def slow(message: Any) -> None:
        taken.append("begins")
        await asyncio.sleep(10)
        taken.append(message["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await asyncio.sleep(start_grace)
        await send(piece(b"data: x\n\n", more_body=False))

    guarded = Guarded(app, start_grace=start_grace, heartbeat=None)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    run_with_virtual_clock(guarded(scope, asyncio.Event().wait, slow))
    assert taken[:4] == ["begins", "http.response.start", "begins", "http.response.body"]
    assert guarded.record.reason is CloseReason.COMPLETED


def test_a_busy_application_starves_nobody() -> None:
    """One that sends without a pause, to a server that never makes it wait, still gives the others their turn."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send(piece(b"data: x\n\n"))
        except ClientDisconnected:
            told.append("told")

    async def main() -> None:
        async def send(message: Any) -> None: ...

        async def receive() -> dict[str, str]:
            await asyncio.sleep(0.05)
            return {"type": "http.disconnect"}

        async with asyncio.timeout(20):
            await Guarded(app)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)

    asyncio.run(main())
    assert told == ["told"]


def test_backpressure_holds() -> None:
    """An application is not let on while its client takes nothing, and what is not taken is not counted."""
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while True:
            await send(piece(b"data: x\n\n"))
            sent.append(1)

    async def main() -> None:
        async with open_stream(guarded, buffer_messages=4, timeout=1000) as stream:
            stream.freeze()
            await asyncio.sleep(1)
            taken = len(sent)
            await asyncio.sleep(10)
            assert len(sent) == taken < 20
            assert [stream.events for stream in open_streams()] == [taken]
            await stream.wait_closed()

    guarded = Guarded(app, send_timeout=20)
    run_with_virtual_clock(main())
    assert guarded.record.reason is CloseReason.SEND_TIMEOUT


# What is left.


def test_the_record_is_exact() -> None:
    """Events as a browser dispatches them, whatever the messages; bytes and heartbeats as they left."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for body in (b"data: a\n\nda", b"ta: b\n", b"\n: comment\n\n", b"id: 1\n\n", b"data\n\ndata: c\n\n"):
            await send(piece(body))
        await asyncio.sleep(35)
        await send(piece(b"data: d\r\n\r\ndata: never", more_body=False))

    guarded = Guarded(app, retry=2000)
    stream = read(guarded)
    record = guarded.record
    assert stream.received.startswith(b"retry: 2000\n\n")
    assert (record.events, record.heartbeats, record.discarded) == (5, 2, 0)
    assert record.sent_bytes == len(stream.received)
    assert stream.received.count(HEARTBEAT) == 2
    assert (record.guarded, record.method, record.path) == (True, "GET", "/")
    assert record.longest_silence == pytest.approx(15, abs=0.1)


ENDINGS: dict[str, list[Any]] = {
    "completes": [b"data: x\n\n", None],
    "returns": [b"data: x\n\n"],
    "fails": [b"data: x\n\n", KeyError],
    "leaves, told by send": [b"data: x\n\n", *[0.5, b"data: y\n\n"] * 9],
    "leaves": [b"data: x\n\n", 3600],
    "drained": [b"data: x\n\n", 3600],
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_kept_alive(ending: str) -> None:
    """What the request holds is freed at its stream's end, without the garbage collector, and no task is left."""

    class Held:
        """What a request holds."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for step in ENDINGS[ending]:
            match step:
                case bytes():
                    await send(piece(step))
                case None:
                    await send(piece(b"", more_body=False))
                case int() | float():
                    await asyncio.sleep(step)
                case _:
                    raise step

    async def run() -> weakref.ref[Any]:
        held = Held()
        guard = EventStreamGuard(app)
        async with open_stream(guard, raise_app_errors=False, scope={"held": held}) as stream:
            await stream.next_event()
            if ending == "drained":
                await drain()
            if not ending.startswith("leaves"):
                await stream.wait_closed()
        return weakref.ref(held)

    async def main() -> bool:
        held = await run()
        await no_other_tasks()
        return held() is None

    gc.collect()
    gc.disable()
    try:
        assert run_with_virtual_clock(main())
    finally:
        gc.enable()


def test_heartbeats_go_on_while_the_application_is_silent() -> None:
    """From its start message on, also before its first event; never inside one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [CONTENT_TYPE, (b"content-length", b"9")]})
        await asyncio.sleep(31)
        await send(piece(b"data: x"))
        await asyncio.sleep(100)
        await send(piece(b"\n\n"))
        await asyncio.sleep(16)
        await send(piece(b"", more_body=False))

    guarded = Guarded(app)
    stream = read(guarded)
    assert stream.received == HEARTBEAT * 3 + b"data: x\n\n" + HEARTBEAT
    assert guarded.record.heartbeats == 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_tasks_may_be_eager() -> None:
    """Under such a factory a task may have ended in the line that starts it: a write, the listener, the pump."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await send(START)
        for number in range(20):
            await send(piece(b"data: %d " % number + b"x" * 100_000 + b"\n\n"))
        await asyncio.sleep(40)
        await send(piece(b"", more_body=False))

    async def main() -> list[int]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        async with open_stream(guarded, buffer_messages=1, timeout=1000) as stream:
            numbers = [int(event.data.split()[0]) for event in await stream.until_end()]
            await stream.wait_closed()
        await no_other_tasks()
        return numbers

    guarded = Guarded(app, start_grace=0)
    assert run_with_virtual_clock(main()) == list(range(20))
    assert (guarded.record.reason, guarded.record.heartbeats) == (CloseReason.COMPLETED, 2)


VARIABLE: ContextVar[str] = ContextVar("variable")


def in_scope(app: App) -> App:
    """Wrap an application in a middleware that opens a scope for the time of each `send`."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            token = VARIABLE.set(message["type"])
            try:
                with anyio.fail_after(1000):
                    await send(message)
            finally:
                VARIABLE.reset(token)

        await app(scope, receive, sending)

    return wrapped


@pytest.mark.parametrize("guarded", [True, False])
def test_a_middleware_outside_may_open_scopes_around_its_send(guarded: bool) -> None:
    """A write that waits ends in the task and the context in which it began, and nothing is lost behind such a one."""
    received: list[bytes] = []
    frames = [b"data: %d\n\n" % number for number in range(20)]

    async def send(message: Any) -> None:
        await asyncio.sleep(0.1)  # the client takes its time with every message
        received.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def items() -> AsyncIterator[bytes]:
        for frame in frames:
            yield frame

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for frame in frames:
            await send(piece(frame))
        await send(piece(b"", more_body=False))

    app: App = EventStreamGuard(application) if guarded else EventSourceResponse(items())
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

    async def main() -> None:
        await in_scope(app)(scope, receive, send)

    run_with_virtual_clock(main())
    assert b"".join(received) == b"".join(frames)
