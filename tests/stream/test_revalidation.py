"""Asking again whether a client may read what it reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from tests.stream.support import Recorded
from unbroken import CloseReason, EventStreamGuard, ServerClosing, while_connected
from unbroken.errors import ConfigurationError
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock

pytestmark = pytest.mark.core

WHO: ContextVar[str] = ContextVar("who")
REVOKED = b'event: stream-end\ndata: {"reason":"revoked"}\n\n'


async def silent() -> AsyncIterator[str]:
    """Say nothing, for ever."""
    await asyncio.Event().wait()
    yield ""


class Question:
    """Answers one question after the other, and then yes for ever; notes when it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = iter(answers)
        self.times: list[float] = []

    async def __call__(self, connection: HTTPConnection) -> bool:
        self.times.append(asyncio.get_running_loop().time())
        answer = next(self._answers, True)
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, bool):
            await asyncio.sleep(answer)
        return answer is not False


async def stay(app: Any, seconds: float) -> None:
    """Keep a stream open for so long."""
    async with open_stream(app, wait_for_start=False, timeout=10_000):
        await asyncio.sleep(seconds)


async def read_to_the_end(app: Any) -> tuple[bytes, str | None]:
    """Return the body and how it ended."""
    async with open_stream(app, timeout=10_000) as stream:
        await stream.until_end()
        return stream.received, stream.ended


def test_it_is_asked_every_interval() -> None:
    """For the first time when one has passed: the request itself was authorised."""
    question = Question()
    run_with_virtual_clock(stay(Recorded(silent(), revalidate=question, revalidate_interval=60), 200))
    assert question.times == pytest.approx([60, 120, 180], abs=0.2)


def test_no_ends_the_stream_with_revoked() -> None:
    """The generator gets ServerClosing, and its client a farewell, `stream-end` and a complete body."""
    seen: list[object] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                await asyncio.Event().wait()
        except ServerClosing as exc:
            seen.append(exc.reason)
            yield "bye"

    question = Question(True, False)
    app = Recorded(generator(), revalidate=question, revalidate_interval=10)
    received, ended = run_with_virtual_clock(read_to_the_end(app))
    assert seen == [CloseReason.REVOKED]
    assert received.endswith(b"data: bye\n\n" + REVOKED)
    assert ended is StreamEnd.COMPLETE
    assert app.record.reason is CloseReason.REVOKED
    assert app.record.duration == pytest.approx(20, abs=0.2)
    assert len(question.times) == 2


def test_a_generator_at_a_yield_is_told_there() -> None:
    """One that never waits gets the exception where it stands."""
    seen: list[object] = []

    async def busy() -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        except ServerClosing as exc:
            seen.append(exc.reason)

    async def main() -> bytes:
        async with open_stream(app, timeout=10) as stream:
            await stream.until_end()
            return stream.received

    app = Recorded(busy(), revalidate=Question(False), revalidate_interval=0.05)
    assert asyncio.run(main()).endswith(REVOKED)
    assert seen == [CloseReason.REVOKED]


def test_a_plain_function_will_do() -> None:
    """It is asked on the event loop, with the connection it is about."""
    asked: list[str] = []

    def may_read(connection: HTTPConnection) -> bool:
        asked.append(connection.headers["authorization"])
        return False

    async def main() -> None:
        async with open_stream(app, headers={"authorization": "token"}, timeout=1000) as stream:
            await stream.until_end()

    app = Recorded(silent(), revalidate=may_read, revalidate_interval=10)
    run_with_virtual_clock(main())
    assert asked == ["token"]
    assert app.record.reason is CloseReason.REVOKED


def test_a_question_that_fails_is_logged_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is away for a moment sends nobody away; the next answer counts."""
    question = Question(OSError("away"), OSError("away"), False)
    app = Recorded(silent(), revalidate=question, revalidate_interval=10)
    run_with_virtual_clock(read_to_the_end(app))
    failures = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert [line.getMessage() for line in failures] == 2 * [
        "revalidate of a stream failed; the stream goes on, and is asked again"
    ]
    assert all(line.exc_info for line in failures)
    assert app.record.duration == pytest.approx(30, abs=0.3)


def test_a_question_without_an_answer_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    """After an interval it is logged, and asked again at once; a slow answer within it counts."""
    question = Question(1000.0, 9.0, False)
    app = Recorded(silent(), revalidate=question, revalidate_interval=10)
    run_with_virtual_clock(read_to_the_end(app))
    assert question.times == pytest.approx([10, 20, 30], abs=0.2)
    failures = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert len(failures) == 1


def test_one_question_at_a_time() -> None:
    """One that does not end when it is cancelled is waited for: they do not pile up."""
    under_way: list[int] = []
    asking = 0

    async def stubborn(connection: HTTPConnection) -> bool:
        nonlocal asking
        asking += 1
        under_way.append(asking)
        end = asyncio.get_running_loop().time() + 35
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        asking -= 1
        return True

    async def main() -> None:
        await stay(app, 100)
        await asyncio.sleep(50)
        assert asking == 0

    app = Recorded(silent(), revalidate=stubborn, revalidate_interval=10)
    run_with_virtual_clock(main())
    assert under_way == [1, 1, 1]


@pytest.mark.parametrize("stay_for", [5, 15])
def test_the_end_of_the_stream_is_the_end_of_the_questions(stay_for: float) -> None:
    """None is asked any more, one that is under way is cancelled, and no task is left."""
    cancelled: list[float] = []

    async def waiting(connection: HTTPConnection) -> bool:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(asyncio.get_running_loop().time())
            raise
        return True

    async def main() -> set[str]:
        await stay(Recorded(silent(), revalidate=waiting, revalidate_interval=10), stay_for)
        await asyncio.sleep(0)
        left = {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}
        await asyncio.sleep(100)
        return left

    assert run_with_virtual_clock(main()) == set()
    assert cancelled == ([] if stay_for < 10 else [pytest.approx(stay_for, abs=0.2)])


def test_a_guard_and_a_response_may_both_ask() -> None:
    """Each at its own interval; the first no counts."""
    far, near = Question(), Question(True, True, False)
    app = Recorded(silent(), revalidate=near, revalidate_interval=10)
    run_with_virtual_clock(read_to_the_end(EventStreamGuard(app, revalidate=far, revalidate_interval=25)))
    assert (len(near.times), len(far.times)) == (3, 1)
    assert app.record.reason is CloseReason.REVOKED


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "60", True])
def test_an_interval_that_is_no_time_is_refused(interval: Any) -> None:
    """The error names the argument, its value, and what to give."""
    with pytest.raises(ConfigurationError) as caught:
        Recorded(silent(), revalidate=Question(), revalidate_interval=interval)
    assert f"revalidate_interval={interval!r} is not a time: give seconds, more than 0" in str(caught.value)


def test_it_is_asked_in_the_context_of_its_request() -> None:
    """All deadlines of a loop are one timer, which another client's request may have set going."""
    asked: set[tuple[str, str]] = set()

    async def main() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            WHO.set(scope["path"])

            async def ask(connection: HTTPConnection) -> bool:
                asked.add((scope["path"], WHO.get()))
                return True

            await Recorded(silent(), revalidate=ask, revalidate_interval=5)(scope, receive, send)

        async with open_stream(app, "/ann", wait_for_start=False):
            await asyncio.sleep(2)
            async with open_stream(app, "/bob", wait_for_start=False):
                await asyncio.sleep(60)

    run_with_virtual_clock(main())
    assert asked == {("/ann", "/ann"), ("/bob", "/bob")}
