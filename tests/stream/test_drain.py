"""The drain of one event loop: by hand, and when sockets are closed. Signals are played on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from typing import Any

import pytest

from tests.stream.support import Recorded
from unbroken import CloseReason, EventStreamGuard, ServerClosing, while_connected
from unbroken.observe import Cleanup
from unbroken.servers import unhook_signals
from unbroken.stream.drain import Lifespan, current_drain, drain
from unbroken.testing import DrivenStream, StreamEnd, open_stream, run_with_virtual_clock

pytestmark = pytest.mark.core

BYE = b'event: stream-end\ndata: {"reason":"shutdown"}\n\n'


async def waiting() -> AsyncIterator[str]:
    """Say one thing, then nothing."""
    yield "x"
    await asyncio.Event().wait()


async def ticking() -> AsyncIterator[str]:
    """Go on talking."""
    while True:
        yield "x"
        await asyncio.sleep(0.01)


async def parting() -> AsyncIterator[str]:
    """Say farewell when the server closes."""
    try:
        async with while_connected():
            yield "x"
            await asyncio.Event().wait()
    except ServerClosing:
        yield "farewell"


async def lingering() -> AsyncIterator[str]:
    """Need longer for the cleanup than anybody would wait."""
    try:
        yield "x"
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(10_000)


async def opened(stack: AsyncExitStack, *apps: Any, server: Any = ("testserver", 80)) -> list[DrivenStream]:
    """Open a stream of each, and read its first event."""
    streams = [await stack.enter_async_context(open_stream(app, scope={"server": server})) for app in apps]
    for stream in streams:
        await stream.next_event()
    return streams


def test_a_drain_by_hand_ends_every_stream_in_good_order() -> None:
    """It counts them; each client reads the farewell, a reconnection time, the reason, and the body's end."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            streams = await opened(stack, *apps)
            assert await drain() == len(apps)
            for stream in streams:
                await stream.until_end()
                assert stream.received == b"data: x\n\ndata: farewell\n\nretry: %d\n\n" % (stream.retry or 0) + BYE
                assert stream.ended is StreamEnd.COMPLETE
                assert stream.retry in range(2000, 3001)
            assert len({stream.retry for stream in streams}) > 1

    apps = [Recorded(parting(), drain_retry=(2000, 3000)) for _ in range(20)]
    asyncio.run(main())
    assert {app.record.reason for app in apps} == {CloseReason.SHUTDOWN}


def test_a_drain_of_nothing_ends_at_once() -> None:
    """Nobody is waited for."""
    assert asyncio.run(drain()) == 0


def test_a_drain_waits_for_the_cleanup() -> None:
    """When it returns, the generators have run to their ends."""
    done: list[str] = []

    async def cleaning() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)
            done.append("cleaned up")

    async def main() -> float:
        async with AsyncExitStack() as stack:
            await opened(stack, app)
            before = asyncio.get_running_loop().time()
            await drain()
            done.append("drained")
            return asyncio.get_running_loop().time() - before

    app = Recorded(cleaning(), drain_grace=5)
    assert 3 <= run_with_virtual_clock(main()) < 4
    assert done == ["cleaned up", "drained"]
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_cleanup_without_end_is_cancelled_after_the_grace() -> None:
    """`drain_grace` is what counts then, however long `cleanup_timeout` is; the client still gets its last words."""

    async def main() -> float:
        async with AsyncExitStack() as stack:
            (stream,) = await opened(stack, app)
            before = asyncio.get_running_loop().time()
            await drain()
            assert stream.received.endswith(BYE)
            return asyncio.get_running_loop().time() - before

    app = Recorded(lingering(), drain_grace=5, cleanup_timeout=600)
    assert 5 <= run_with_virtual_clock(main()) < 6
    assert (app.record.reason, app.record.cleanup) == (CloseReason.SHUTDOWN, Cleanup.CANCELLED)


def test_streams_that_open_later_end_at_once() -> None:
    """A request that was under way gets what it would have got, and is not waited for."""

    async def main() -> None:
        await drain()
        async with open_stream(app) as stream:
            await stream.until_end()
            assert stream.received.endswith(BYE)

    app = Recorded(waiting())
    asyncio.run(main())
    assert app.record.reason is CloseReason.SHUTDOWN


def test_clients_that_keep_coming_do_not_put_the_end_off() -> None:
    """Those that were open are waited for, and no others, though one is always ending."""

    async def cleaning() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)

    async def arrive(stack: AsyncExitStack) -> None:
        while True:
            late.append(Recorded(cleaning(), drain_grace=5))
            await stack.enter_async_context(open_stream(late[-1]))
            await asyncio.sleep(1)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await opened(stack, app)
            drained = asyncio.create_task(drain())
            await asyncio.sleep(0)
            arriving = asyncio.create_task(arrive(stack))
            await asyncio.wait([drained], timeout=60)
            arriving.cancel()
            assert len(current_drain()) > 0
            assert drained.done()
            assert drained.result() == 1
            assert app.record.cleanup is Cleanup.FINISHED

    late: list[Recorded] = []
    app = Recorded(cleaning(), drain_grace=5)
    run_with_virtual_clock(main())
    assert {each.record.reason for each in late} == {CloseReason.SHUTDOWN}


def test_an_application_that_starts_later_on_the_same_loop_streams() -> None:
    """In a test suite one loop sees many applications begin and end."""

    async def main() -> None:
        await drain()
        current_drain().listen(Lifespan())
        async with AsyncExitStack() as stack:
            (stream,) = await opened(stack, app)
            assert await drain() == 1
            assert stream.received.endswith(BYE)

    app = Recorded(waiting())
    asyncio.run(main())


def test_streams_without_a_grace_are_left_out() -> None:
    """`drain_grace=None` says that a stream may hold up a shutdown: it is not told, counted or waited for."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            (stream,) = await opened(stack, app)
            assert await drain() == 0
            await stream.events(3)
            assert stream.ended is None

    app = Recorded(ticking(), drain_grace=None)
    asyncio.run(main())
    assert app.record.reason is CloseReason.CLIENT_CLOSED


def test_two_drains_wait_for_the_same_ends() -> None:
    """Each returns what was open when it was called, and the streams are told once."""

    async def main() -> tuple[int, int]:
        async with AsyncExitStack() as stack:
            await opened(stack, *apps)
            first = asyncio.create_task(drain())
            return await drain(), await first

    apps = [Recorded(parting()) for _ in range(3)]
    assert asyncio.run(main()) == (3, 3)
    assert [app.record.events for app in apps] == [2, 2, 2]


def test_who_gives_up_waiting_does_not_call_it_off() -> None:
    """A cancelled `drain()` leaves the streams ending."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            (stream,) = await opened(stack, app)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(drain(), 1)
            assert stream.ended is None
            await stream.until_end(timeout=1000)
            assert stream.received.endswith(BYE)

    app = Recorded(lingering(), drain_grace=5)
    run_with_virtual_clock(main())


def test_each_loop_has_a_drain_of_its_own() -> None:
    """Servers in several threads are shut down one by one."""
    there, leave = threading.Event(), threading.Event()

    async def elsewhere() -> None:
        async with AsyncExitStack() as stack:
            (stream,) = await opened(stack, other)
            there.set()
            await asyncio.to_thread(leave.wait, 10)
            assert stream.ended is None

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await opened(stack, own)
            elsewhere_ended = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
            assert await asyncio.to_thread(there.wait, 10)
            assert await drain() == 1
            leave.set()
            await elsewhere_ended

    own, other = Recorded(waiting()), Recorded(waiting())
    asyncio.run(main())
    assert (own.record.reason, other.record.reason) == (CloseReason.SHUTDOWN, CloseReason.CLIENT_CLOSED)


@pytest.fixture
def listening() -> socket.socket:
    """Give a listening socket, as a server has one; the test closes it."""
    return socket.create_server(("127.0.0.1", 0))


def test_streams_end_when_their_server_listens_no_more(listening: socket.socket) -> None:
    """A server's first act at its end is to close its sockets, and where there is no signal it is the only one."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            (stream,) = await opened(stack, app, server=listening.getsockname())
            listening.close()
            await stream.until_end()
            assert stream.received.endswith(BYE)

    app = Recorded(waiting())
    asyncio.run(main())


def test_a_stream_that_opens_when_nobody_listens_any_more_ends(listening: socket.socket) -> None:
    """The request was accepted before; the stream is ended as its siblings were."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            place = listening.getsockname()
            (stream,) = await opened(stack, Recorded(waiting()), server=place)
            listening.close()
            await stream.until_end()
            (late,) = await opened(stack, Recorded(waiting()), server=place)
            await late.until_end()
            assert late.received.endswith(BYE)

    asyncio.run(main())


def test_a_server_that_follows_at_the_same_place_streams(listening: socket.socket) -> None:
    """It has sockets of its own, which are looked for when those that were known are closed."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            place = listening.getsockname()
            (stream,) = await opened(stack, Recorded(waiting()), server=place)
            listening.close()
            await stream.until_end()
            with closing(socket.create_server(place)):
                (later,) = await opened(stack, Recorded(ticking()), server=place)
                await later.events(50)
                assert later.ended is None
            await later.until_end()

    asyncio.run(main())


def test_only_the_streams_of_the_server_that_stops_are_ended(listening: socket.socket) -> None:
    """Two servers on one loop, at two ports, do not end each other's streams."""

    async def main() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as other:
            async with AsyncExitStack() as stack:
                (stays,) = await opened(stack, staying, server=other.getsockname())
                (ends,) = await opened(stack, Recorded(waiting()), server=listening.getsockname())
                listening.close()
                await ends.until_end()
                assert stays.ended is None

    staying = Recorded(waiting())
    asyncio.run(main())
    assert staying.record.reason is CloseReason.CLIENT_CLOSED


class Running:
    """A guarded application, as its server starts it and shuts it down; or the start fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        guarded = EventStreamGuard(self._app)
        self._task = asyncio.create_task(guarded({"type": "lifespan"}, self._messages.get, self._answers.put))

    async def start(self) -> None:
        """Have it start, and wait until it has."""
        await self._exchange("startup")

    async def stop(self) -> None:
        """Have it shut down, and wait until it has."""
        await self._exchange("shutdown")
        await self._task

    async def _exchange(self, what: str) -> None:
        await self._messages.put({"type": f"lifespan.{what}"})
        assert await asyncio.wait_for(self._answers.get(), 10) == {"type": f"lifespan.{what}.complete"}

    async def fail(self) -> None:
        """Have it start in vain."""
        await self._messages.put({"type": "lifespan.startup"})
        assert await self._answers.get() == {"type": "lifespan.startup.failed"}
        await self._task

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        for _ in range(1 if self._fails else 2):
            message = await receive()
            await send({"type": message["type"] + (".failed" if self._fails else ".complete")})


def test_the_shutdown_of_an_application_is_none_of_the_others(listening: socket.socket) -> None:
    """Streams of another server on the loop go on, new ones open as before, and its own have ended by then."""

    async def main() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as other:
            ends, stays = Running(), Running()
            await ends.start()
            await stays.start()
            async with AsyncExitStack() as stack:
                staying = await opened(stack, Recorded(ticking()), server=other.getsockname())
                (ending,) = await opened(stack, app, server=listening.getsockname())
                listening.close()
                await ends.stop()
                assert ending.received.endswith(BYE)
                assert app.record.cleanup is Cleanup.FINISHED
                staying += await opened(stack, Recorded(ticking()), server=other.getsockname())
                for stream in staying:
                    await stream.events(50)
                    assert stream.ended is None
            await stays.stop()

    app = Recorded(parting())
    asyncio.run(main())


def test_a_shutdown_waits_for_streams_that_are_ending_already() -> None:
    """After a signal it is no matter where their server listens."""

    async def main() -> None:
        running = Running()
        await running.start()
        async with AsyncExitStack() as stack:
            await opened(stack, app)
            current_drain().begin()
            await running.stop()
            assert app.record.cleanup is Cleanup.CANCELLED

    app = Recorded(lingering(), drain_grace=5)
    run_with_virtual_clock(main())


def test_signals_are_heard_until_the_last_application_has_shut_down() -> None:
    """The first to go leaves the hook to those that stay."""
    unhook_signals()  # what other tests have left
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        running = [Running() for _ in range(3)]
        for each in running:
            await each.start()
        for each in running:
            assert signal.getsignal(signal.SIGTERM) is not before
            await each.stop()

    asyncio.run(main())
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_application_that_failed_to_start_hears_no_signals() -> None:
    """It never shuts down, and the hook goes with the others nevertheless."""
    unhook_signals()
    before = signal.getsignal(signal.SIGTERM)

    async def main() -> None:
        await Running(fails=True).fail()
        gc.collect()
        running = Running()
        await running.start()
        await running.stop()

    asyncio.run(main())
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_is_watched_while_no_stream_is_open(listening: socket.socket) -> None:
    """The last stream takes the timer with it, so that an idle server is not woken."""

    async def main() -> tuple[bool, bool]:
        async with AsyncExitStack() as stack:
            await opened(stack, Recorded(waiting()), Recorded(waiting()), server=listening.getsockname())
            watching = current_drain()._timer is not None
        return watching, current_drain()._timer is not None

    with closing(listening):
        assert asyncio.run(main()) == (True, False)
