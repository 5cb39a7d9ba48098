"""How the end of a stream reaches an asynchronous generator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.stream.support import Recorded
from unbroken import ClientDisconnected, CloseReason, ServerClosing, while_connected
from unbroken.errors import ConfigurationError
from unbroken.observe import Cleanup
from unbroken.testing import open_stream

pytestmark = pytest.mark.core


async def leave_after(app: Recorded, events: int = 1) -> None:
    """Read some events, leave, and wait for the application's end."""
    async with open_stream(app) as stream:
        await stream.events(events)
        await stream.disconnect()
        await stream.wait_closed()


def test_a_busy_generator_gets_the_exception_at_its_yield() -> None:
    """`except ConnectionResetError` around the yield of a loop without awaits fires once, and its cleanup may await."""
    seen: list[object] = []

    async def busy() -> AsyncIterator[str]:
        try:
            while True:
                yield "hello"
        except ConnectionResetError as exc:
            await asyncio.sleep(0)
            seen.append(exc)

    app = Recorded(busy())
    asyncio.run(leave_after(app, 300))
    assert [type(exc) for exc in seen] == [ClientDisconnected]
    assert app.record.reason is CloseReason.CLIENT_CLOSED
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_busy_generator_starves_nobody() -> None:
    """Another task of the loop goes on while a generator that never awaits is streamed."""

    async def busy() -> AsyncIterator[str]:
        while True:
            yield "hello"

    async def main() -> int:
        turns = 0
        async with open_stream(Recorded(busy())) as stream:
            while len(stream.received) < 100_000:
                await asyncio.sleep(0)
                turns += 1
        return turns

    assert asyncio.run(main()) > 5


def test_a_wait_outside_a_scope_is_cancelled_once_and_cleanup_may_await() -> None:
    """Without `while_connected()` a generator at an await gets one CancelledError; the awaits of its `finally` work."""
    seen: list[str] = []

    async def sleeping() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            seen.append("cleaned")

    app = Recorded(sleeping())
    asyncio.run(leave_after(app))
    assert seen == ["cancelled", "cleaned"]
    assert app.record.reason is CloseReason.CLIENT_CLOSED


def test_a_resource_is_closed() -> None:
    """The `__aexit__` of a resource that the generator holds runs to its end."""
    closed: list[bool] = []

    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0.01)
            closed.append(True)

    async def holding() -> AsyncIterator[str]:
        async with resource():
            yield "x"
            await asyncio.Event().wait()

    asyncio.run(leave_after(Recorded(holding())))
    assert closed == [True]


async def _sleep() -> None:
    await asyncio.sleep(3600)


async def _queue() -> None:
    await asyncio.Queue[int]().get()


async def _wait_for() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 3600)


async def _timeout() -> None:
    async with asyncio.timeout(3600):
        await asyncio.sleep(3600)


async def _task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))
        await asyncio.sleep(3600)


async def _task_group_exit() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3600))


async def _gather() -> None:
    await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(3600))


async def _anyio_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 3600)
        await anyio.sleep(3600)


async def _anyio_group_exit() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 3600)


async def _anyio_fail_after() -> None:
    with anyio.fail_after(3600):
        await anyio.sleep(3600)


async def _anyio_stream() -> None:
    send, receive = anyio.create_memory_object_stream[int](0)
    with send, receive:
        await receive.receive()


async def _condition() -> None:
    condition = asyncio.Condition()
    async with condition:
        await condition.wait()


async def _retrying() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except Exception:
            continue


WAITS = [
    _sleep, _queue, _wait_for, _timeout, _task_group, _task_group_exit, _gather, _anyio_group, _anyio_group_exit,
    _anyio_fail_after, _anyio_stream, _condition, _retrying,
]  # fmt: skip


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__.strip("_"))
def test_any_wait_inside_a_scope_ends_in_the_exception(wait: Callable[[], Any]) -> None:
    """Whatever a generator waits for inside `while_connected()`, it gets ClientDisconnected and leaves no task."""
    seen: list[object] = []
    left: list[asyncio.Task[Any]] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            async with while_connected():
                yield "x"
                await wait()
        except ConnectionResetError as exc:
            await asyncio.sleep(0)
            seen.append(exc)

    async def main() -> None:
        before = asyncio.all_tasks()
        await leave_after(app)
        await asyncio.sleep(0)
        left.extend(asyncio.all_tasks() - before)

    app = Recorded(waiting())
    asyncio.run(main())
    assert [type(exc) for exc in seen] == [ClientDisconnected]
    assert left == []


@pytest.mark.parametrize("make_group", [asyncio.TaskGroup, anyio.create_task_group], ids=["asyncio", "anyio"])
def test_a_task_group_around_a_yield_is_unwrapped_by_the_scope(make_group: Callable[[], Any]) -> None:
    """A scope around a task group raises the plain exception where a yield inside the group got it."""
    seen: list[object] = []

    async def busy() -> AsyncIterator[str]:
        try:
            async with while_connected(), make_group():
                while True:
                    yield "x"
        except ConnectionResetError as exc:
            seen.append(exc)

    asyncio.run(leave_after(Recorded(busy())))
    assert [type(exc) for exc in seen] == [ClientDisconnected]


def test_nested_scopes_raise_through_both() -> None:
    """Of nested scopes the innermost makes the exception, and the outer one lets it pass."""
    seen: list[str] = []

    async def nested() -> AsyncIterator[str]:
        async with while_connected():
            try:
                async with while_connected():
                    yield "x"
                    await asyncio.sleep(3600)
            except ConnectionResetError:
                seen.append("inner")
                raise

    app = Recorded(nested())
    asyncio.run(leave_after(app))
    assert seen == ["inner"]
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_scope_that_is_left_leaves_nothing() -> None:
    """A wait after the scope was left is cancelled natively, as one that never had a scope."""
    seen: list[type] = []

    async def generator() -> AsyncIterator[str]:
        async with while_connected():
            yield "x"
        try:
            await asyncio.sleep(3600)
        except BaseException as exc:
            seen.append(type(exc))
            raise

    asyncio.run(leave_after(Recorded(generator())))
    assert seen == [asyncio.CancelledError]


def test_the_scope_refuses_to_be_used_elsewhere() -> None:
    """Entering `while_connected()` outside a stream's generator, or in a task of it, says where it belongs."""

    async def alone() -> None:
        async with while_connected():
            pass

    with pytest.raises(ConfigurationError, match="generator"):
        asyncio.run(alone())

    seen: list[BaseException | None] = []

    async def generator() -> AsyncIterator[str]:
        task = asyncio.create_task(alone())
        await asyncio.wait([task])
        seen.append(task.exception())
        yield "x"

    async def main() -> None:
        async with open_stream(Recorded(generator())) as stream:
            await stream.until_end()

    asyncio.run(main())
    assert [type(exc) for exc in seen] == [ConfigurationError]


def test_a_scope_entered_after_the_client_left_raises_at_once() -> None:
    """A generator that swallowed the first notice gets the next at the scope it enters."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        except ConnectionResetError:
            seen.append("first")
        try:
            async with while_connected():
                seen.append("inside")
        except ConnectionResetError:
            seen.append("second")

    asyncio.run(leave_after(Recorded(generator())))
    assert seen == ["first", "second"]


def test_what_is_yielded_to_nobody_is_discarded() -> None:
    """After ClientDisconnected a generator may yield on; it is counted and not sent."""

    async def generator() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        except ConnectionResetError:
            yield "to nobody"
            yield "to nobody either"

    async def main() -> bytes:
        async with open_stream(app) as stream:
            await stream.next_event()
            await stream.disconnect()
            await stream.wait_closed()
            return stream.received

    app = Recorded(generator())
    received = asyncio.run(main())
    assert app.record.discarded >= 2
    assert b"nobody" not in received


@pytest.mark.parametrize("waits", [False, True], ids=["at a yield", "at an await"])
def test_a_farewell_is_sent_at_max_age(waits: bool) -> None:
    """A stream that reaches its age raises ServerClosing; what the generator yields then still reaches the client."""
    seen: list[object] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                while True:
                    yield "x"
                    await asyncio.sleep(3600 if waits else 0.001)
        except ServerClosing as exc:
            seen.append(exc.reason)
            yield "farewell"

    async def main() -> list[Any]:
        async with open_stream(app) as stream:
            return await stream.until_end()

    app = Recorded(generator(), max_age=0.1)
    events = asyncio.run(main())
    assert seen == [CloseReason.MAX_AGE]
    assert [event.data for event in events[-2:]] == ["farewell", '{"reason":"max_age"}']
    assert events[-1].event == "stream-end"
    assert app.record.reason is CloseReason.MAX_AGE


def test_a_generator_that_swallows_everything_is_closed_after_the_timeout() -> None:
    """`except Exception: continue` around the yield cannot hang the stream, and the record says so."""
    finished: list[bool] = []

    async def stubborn() -> AsyncIterator[str]:
        try:
            while True:
                try:
                    yield "x"
                except Exception:
                    continue
        finally:
            finished.append(True)

    app = Recorded(stubborn(), cleanup_timeout=0.1)
    asyncio.run(leave_after(app))
    assert finished == [True]
    assert app.record.cleanup is Cleanup.CANCELLED


def test_a_generator_that_swallows_its_cancellation_is_cancelled_again() -> None:
    """A wait that begins again after the cancellation is cancelled for good after the timeout."""

    async def stubborn() -> AsyncIterator[str]:
        yield "x"
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    app = Recorded(stubborn(), cleanup_timeout=0.1)
    asyncio.run(leave_after(app))
    assert app.record.cleanup is Cleanup.CANCELLED


def test_a_generator_that_resists_even_that_is_abandoned() -> None:
    """One that swallows every cancellation is left behind, and the response ends."""
    go = asyncio.Event()

    async def immortal() -> AsyncIterator[str]:
        yield "x"
        while not go.is_set():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        before = asyncio.all_tasks()
        await leave_after(app)
        go.set()
        for task in asyncio.all_tasks() - before:
            task.cancel()

    app = Recorded(immortal(), cleanup_timeout=0.05)
    asyncio.run(main())
    assert app.record.cleanup is Cleanup.ABANDONED


def test_a_cleanup_that_fails_is_on_record_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """An exception out of `finally` is logged as an error and kept; the client's leaving stays the reason."""

    async def failing() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            raise ValueError("cleanup")

    app = Recorded(failing())
    asyncio.run(leave_after(app))
    assert app.record.reason is CloseReason.CLIENT_CLOSED
    assert app.record.cleanup is Cleanup.FAILED
    assert isinstance(app.record.error, ValueError)
    assert [record.levelname for record in caplog.records if record.levelno > 20] == ["ERROR"]


def test_a_client_s_leaving_is_logged_in_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The end is news, at INFO, with its reason."""
    caplog.set_level("DEBUG")

    async def generator() -> AsyncIterator[str]:
        while True:
            yield "x"

    asyncio.run(leave_after(Recorded(generator())))
    (record,) = [record for record in caplog.records if record.name == "unbroken"]
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "client_closed" in record.getMessage()


def test_cancellation_from_outside_stays_cancellation() -> None:
    """A server that cancels the application cancels the generator, scope or not; its cleanup may await."""
    seen: list[object] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                yield "x"
                await asyncio.sleep(3600)
        except BaseException as exc:
            await asyncio.sleep(0.01)
            seen.append(type(exc))
            raise

    async def main() -> None:
        async with open_stream(app) as stream:
            await stream.next_event()
            await stream.cancel()
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert seen == [asyncio.CancelledError]
    assert app.record.reason is CloseReason.SHUTDOWN


def test_an_anyio_scope_around_the_response_does_not_break_cleanup() -> None:
    """A scope re-delivers its cancellation at every await of the task; the generator's cleanup still awaits."""
    cleaned: list[bool] = []

    async def generator() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            cleaned.append(True)

    async def around(scope: Any, receive: Any, send: Any) -> None:
        with anyio.move_on_after(0.1):
            await app(scope, receive, send)

    async def main() -> None:
        async with open_stream(around) as stream:
            await stream.next_event()
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert cleaned == [True]


def test_a_timeout_of_the_generator_s_own_spans_its_yields() -> None:
    """`asyncio.timeout` around yields fires in the generator, also while the stream waits for its client."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(0.1):
                while True:
                    yield b"x" * 100_000
        except TimeoutError:
            seen.append("timeout")
            yield b"data: late\n\n"

    async def main() -> bytes:
        async with open_stream(app, buffer_messages=2) as stream:
            await stream.until(lambda: len(stream.received) >= 10)
            stream.freeze()
            await asyncio.sleep(0.2)
            assert seen == []  # the write that waits is not given up for it
            stream.thaw()
            await stream.until_end()
            return stream.received

    app = Recorded(generator())
    received = asyncio.run(main())
    assert seen == ["timeout"]
    assert received.count(b"x") % 100_000 == 0
    assert received.endswith(b"data: late\n\n")
    assert app.record.reason is CloseReason.COMPLETED


def test_a_generator_that_never_started_is_not_run_for_its_end() -> None:
    """A client that leaves before the first step costs no step."""
    steps: list[int] = []

    async def generator() -> AsyncIterator[str]:
        steps.append(1)
        yield "x"

    async def main() -> None:
        async def gone(scope: Any, receive: Any, send: Any) -> None:
            async def left() -> dict[str, str]:
                return {"type": "http.disconnect"}

            await app(scope, left, send)

        async with open_stream(gone, wait_for_start=False) as stream:
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert steps in ([], [1])
    assert app.record.reason is CloseReason.CLIENT_CLOSED


def test_an_anyio_scope_of_the_generator_s_own_spans_its_yields() -> None:
    """A scope that expires while the stream waits for its client ends as its owner meant, and does not spin."""
    seen: list[object] = []

    async def generator() -> AsyncIterator[bytes]:
        with anyio.move_on_after(0.1) as scope:
            while True:
                yield b"x" * 1000
        seen.append(scope.cancelled_caught)
        yield b"data: after\n\n"

    async def main() -> bytes:
        async with open_stream(app, buffer_messages=2) as stream:
            await stream.until(lambda: len(stream.received) >= 10)
            stream.freeze()
            before = time.process_time()
            await asyncio.sleep(0.5)
            spent = time.process_time() - before
            assert seen == []
            stream.thaw()
            await stream.until_end()
            assert spent < 0.4  # a scope that cancels at every turn keeps the processor busy all the while
            return stream.received

    app = Recorded(generator())
    assert asyncio.run(main()).endswith(b"data: after\n\n")
    assert seen == [True]
    assert app.record.reason is CloseReason.COMPLETED


def test_a_timeout_and_a_leaving_in_one_write_are_told_once() -> None:
    """The client leaves while a timeout's cancellation waits to be passed on: the cleanup is not cancelled by it."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(0.1):
                while True:
                    yield b"x" * 1000
        except ConnectionResetError:
            await asyncio.sleep(0.05)
            seen.append("cleaned")

    async def main() -> None:
        async with open_stream(app, buffer_messages=2) as stream:
            await stream.until(lambda: len(stream.received) >= 10)
            stream.freeze()
            await asyncio.sleep(0.3)
            await stream.disconnect()
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert seen == ["cleaned"]
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_client_gone_before_the_first_step_is_told_once() -> None:
    """The scope raises as it is entered; the cleanup after that is not cancelled."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                yield "x"
        except ConnectionResetError:
            await asyncio.sleep(0.01)
            seen.append("cleaned")

    async def already_gone(scope: Any, receive: Any, send: Any) -> None:
        async def left() -> dict[str, str]:
            return {"type": "http.disconnect"}

        await app(scope, left, send)

    async def main() -> None:
        async with open_stream(already_gone, wait_for_start=False) as stream:
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert seen in ([], ["cleaned"])
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_generator_that_enters_the_scope_for_ever_starves_nobody() -> None:
    """`while True: try: async with while_connected(): … except: continue` is ended after the timeout."""

    async def stubborn() -> AsyncIterator[str]:
        while True:
            try:
                async with while_connected():
                    yield "x"
                    await asyncio.sleep(3600)
            except ConnectionResetError:
                continue

    app = Recorded(stubborn(), cleanup_timeout=0.1)
    asyncio.run(leave_after(app))
    assert app.record.cleanup is Cleanup.CANCELLED


def test_the_closing_loop_cancels_each_generator_once() -> None:
    """`asyncio.run` cancels every task when its main one ends; cleanups that await still run to their ends."""
    cleaned: list[int] = []

    async def generator(number: int) -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(number)

    async def main() -> None:
        async def receive() -> Any:
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            started.append(message["type"])

        started: list[str] = []
        scope = {"type": "http", "method": "GET", "path": "/"}
        for number in range(20):
            task = asyncio.create_task(Recorded(generator(number))(scope, receive, send))
            tasks.append(task)
        while len(started) < 40:
            await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(main())
    assert sorted(cleaned) == list(range(20))
    assert all(task.cancelled() for task in tasks)


def test_a_cancellation_during_the_cleanup_lets_it_finish_and_is_raised() -> None:
    """Who cancels an ending response gets its cancellation back, after the cleanup."""
    seen: list[str] = []
    begun = asyncio.Event()

    async def generator() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(3600)
        finally:
            begun.set()
            await asyncio.sleep(0.2)
            seen.append("cleaned")

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> None:
        async with open_stream(noting) as stream:
            await stream.next_event()
            await stream.disconnect()
            await asyncio.wait_for(begun.wait(), 5)
            await stream.cancel()
            await stream.wait_closed()

    app = Recorded(generator())
    asyncio.run(main())
    assert seen == ["cleaned", "cancelled"]
    assert app.record.cleanup is Cleanup.FINISHED


class Odd(BaseException):
    """What is no Exception, as pytest's and other tools' own are."""


def test_what_is_no_exception_is_an_error_all_the_same() -> None:
    """It has a record, is told in the stream, and is raised as what it is."""

    async def generator() -> AsyncIterator[str]:
        yield "x"
        raise Odd

    async def main() -> tuple[bytes, BaseException | None]:
        async with open_stream(app, raise_app_errors=False) as stream:
            await stream.until_end()
            return stream.received, stream.error

    app = Recorded(generator())
    received, error = asyncio.run(main())
    assert b"event: stream-error\n" in received
    assert isinstance(error, Odd)
    assert app.record.reason is CloseReason.PRODUCER_ERROR
