"""Synchronous generators: their steps, and the end of their stream, in worker threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.stream.support import Recorded
from unbroken import ClientDisconnected, CloseReason, EncodeError, ServerClosing
from unbroken.observe import Cleanup
from unbroken.stream import threaded
from unbroken.testing import DrivenStream, StreamEnd, open_stream

pytestmark = pytest.mark.core


def waiting_for(condition: Callable[[], bool]) -> None:
    """Wait in the main thread until `condition` holds."""
    deadline = threading.Event()
    for _ in range(500):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("the condition did not come to hold within 5 s")


def read(app: Recorded) -> DrivenStream:
    """Run a stream that ends by itself."""

    async def main() -> DrivenStream:
        async with open_stream(app, raise_app_errors=False) as stream:
            await stream.until_end()
        return stream

    return asyncio.run(main())


async def leave(app: Recorded) -> None:
    """Read one event and leave."""
    async with open_stream(app) as stream:
        await stream.next_event()
        await stream.disconnect()
        await stream.wait_closed()


def test_a_list_is_a_stream() -> None:
    """Any iterable is streamed item by item, and completes."""
    app = Recorded(["a", {"b": 1}])
    stream = read(app)
    assert (stream.received, stream.ended) == (b'data: a\n\ndata: {"b":1}\n\n', StreamEnd.COMPLETE)
    assert (app.record.reason, app.record.events) == (CloseReason.COMPLETED, 2)


def test_steps_run_outside_the_loop_s_thread() -> None:
    """A generator that blocks holds up nobody."""
    threads: list[int] = []

    def generator() -> Iterator[str]:
        threads.append(threading.get_ident())
        yield "x"

    read(Recorded(generator()))
    assert threads
    assert threading.get_ident() not in threads


def test_the_end_is_raised_at_the_yield_and_cleanup_runs_in_a_thread() -> None:
    """ClientDisconnected comes out of the yield; `finally` runs before the response ends, not in the loop's thread."""
    seen: list[object] = []

    def generator() -> Iterator[str]:
        try:
            while True:
                yield "x"
        except ConnectionResetError as exc:
            seen.append(type(exc))
        finally:
            seen.append(threading.get_ident())

    app = Recorded(generator())
    asyncio.run(leave(app))
    assert seen[0] is ClientDisconnected
    assert seen[1] != threading.get_ident()
    assert (app.record.reason, app.record.cleanup) == (CloseReason.CLIENT_CLOSED, Cleanup.FINISHED)


def test_a_next_in_flight_is_waited_for() -> None:
    """A generator that blocks when its client leaves is told as soon as it comes out."""
    go, inside = threading.Event(), threading.Event()
    seen: list[type] = []

    def generator() -> Iterator[str]:
        try:
            yield "x"
            inside.set()
            go.wait(10)
            yield "y"
        except ConnectionResetError as exc:
            seen.append(type(exc))

    async def main() -> None:
        async with open_stream(app) as stream:
            await stream.next_event()
            await asyncio.to_thread(inside.wait, 10)
            await stream.disconnect()
            await asyncio.sleep(0.05)
            assert seen == []
            go.set()
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert seen == [ClientDisconnected]
    assert app.record.discarded == 1
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_next_that_outlasts_the_cleanup_is_left_to_its_thread() -> None:
    """The response ends after `cleanup_timeout`; the thread closes the generator when it comes out of it."""
    go, inside = threading.Event(), threading.Event()
    closed: list[bool] = []

    def generator() -> Iterator[str]:
        try:
            yield "x"
            inside.set()
            go.wait(10)
            yield "y"
        finally:
            closed.append(True)

    async def main() -> None:
        async with open_stream(app) as stream:
            await stream.next_event()
            await asyncio.to_thread(inside.wait, 10)
            await stream.disconnect()
            await stream.wait_closed()
        assert closed == []
        go.set()

    app = Recorded(generator(), cleanup_timeout=0.05)
    asyncio.run(main())
    waiting_for(lambda: closed == [True])
    assert app.record.cleanup is Cleanup.CANCELLED


def test_a_generator_that_swallows_everything_is_closed() -> None:
    """`except Exception: continue` around the yield of a synchronous generator cannot hang the stream either."""
    closed: list[bool] = []

    def stubborn() -> Iterator[str]:
        try:
            while True:
                try:
                    yield "x"
                except Exception:
                    continue
        finally:
            closed.append(True)

    app = Recorded(stubborn(), cleanup_timeout=0.1)
    asyncio.run(leave(app))
    waiting_for(lambda: closed == [True])
    assert app.record.cleanup is Cleanup.CANCELLED


def test_a_farewell_is_sent() -> None:
    """What a synchronous generator yields after ServerClosing reaches the client."""

    def generator() -> Iterator[str]:
        try:
            while True:
                yield "x"
        except ServerClosing:
            yield "farewell"

    app = Recorded(generator(), max_age=0.1)
    stream = read(app)
    assert stream.received.endswith(b'data: farewell\n\nevent: stream-end\ndata: {"reason":"max_age"}\n\n')
    assert app.record.reason is CloseReason.MAX_AGE


def test_errors_are_raised_and_items_before_them_delivered() -> None:
    """As with asynchronous generators: nothing yielded before an exception is lost."""

    def generator() -> Iterator[object]:
        yield "a"
        try:
            yield object()
        except EncodeError:
            yield "b"
        raise ValueError("fault")

    app = Recorded(generator())
    stream = read(app)
    assert stream.received.startswith(b"data: a\n\ndata: b\n\nevent: stream-error\n")
    assert stream.ended is StreamEnd.TRUNCATED
    assert isinstance(stream.error, ValueError)


def test_a_fault_of_an_iterable_that_cannot_start_is_a_real_error() -> None:
    """`iter()` is a step of its own: what it raises comes before the start."""

    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise ValueError("no")

    async def main() -> BaseException | None:
        async with open_stream(Recorded(Broken()), raise_app_errors=False, wait_for_start=False) as stream:
            await stream.wait_closed()
            assert not stream.has_started
            return stream.error

    assert isinstance(asyncio.run(main()), ValueError)


def test_streams_that_block_take_no_thread_from_others() -> None:
    """More blocked streams than anyio's default limiter has threads leave its threads to the application."""
    import anyio.to_thread

    go = threading.Event()

    def blocked() -> Iterator[str]:
        go.wait(10)
        yield "x"

    async def main() -> int:
        async with asyncio.TaskGroup() as group:

            async def one() -> None:
                async with open_stream(Recorded(blocked()), wait_for_start=False) as stream:
                    await stream.until_end()

            for _ in range(45):
                group.create_task(one())
            await asyncio.sleep(0.1)
            answer = await asyncio.wait_for(anyio.to_thread.run_sync(lambda: 42), 5)
            go.set()
        return answer

    assert asyncio.run(main()) == 42


def test_streams_that_block_keep_no_other_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every thread taken, a stream whose client leaves is told at its yield all the same."""
    monkeypatch.setattr(threaded, "THREADS", 1)
    go, inside = threading.Event(), threading.Event()
    seen: list[type] = []

    def blocked() -> Iterator[str]:
        inside.set()
        go.wait(10)
        yield "x"

    def quick() -> Iterator[str]:
        try:
            while True:
                yield "x"
        except ConnectionResetError as exc:
            seen.append(type(exc))

    async def main() -> None:
        async with open_stream(app) as stream:
            await stream.next_event()
            async with open_stream(Recorded(blocked()), wait_for_start=False) as other:
                await asyncio.to_thread(inside.wait, 10)
                await stream.disconnect()
                await stream.wait_closed()
                assert seen == [ClientDisconnected]
                go.set()
                await other.until_end()

    app = Recorded(quick())
    asyncio.run(main())
    assert app.record.cleanup is Cleanup.FINISHED
