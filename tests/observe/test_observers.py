"""Who is told of streams, in which order, and that no observer harms one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.stream.support import Recorded
from unbroken.observe import Observer, OpenStream, StreamRecord, attach, attached, default_log, detach
from unbroken.testing import open_stream


def stream_once(while_open: Callable[[], None] = lambda: None) -> Recorded:
    """Run a stream of one event, and return the response."""

    async def generator() -> AsyncIterator[str]:
        while_open()
        yield "x"

    async def main() -> None:
        async with open_stream(app) as stream:
            assert [event.data for event in await stream.until_end()] == ["x"]

    app = Recorded(generator())
    asyncio.run(main())
    return app


class Noting(Observer):
    """Writes what it is told into a list that may be others' too."""

    def __init__(self, notes: list[tuple[str, str, int]], name: str = "") -> None:
        self._notes = notes
        self._name = name

    def opened(self, stream: OpenStream) -> None:
        self._notes.append((self._name, "opened", stream.id))

    def closed(self, record: StreamRecord) -> None:
        self._notes.append((self._name, "closed", record.id))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = attached()
    yield
    for observer in attached():
        detach(observer)
    for observer in before:
        attach(observer)


def test_a_beginning_and_an_end_with_one_id() -> None:
    """An observer is told of the stream before its end, and both are of the same."""
    notes: list[tuple[str, str, int]] = []
    attach(Noting(notes))
    record = stream_once().record
    assert notes == [("", "opened", record.id), ("", "closed", record.id)]


def test_observers_are_told_in_the_order_of_their_coming() -> None:
    """Each is told of the beginning before any is told of the end."""
    notes: list[tuple[str, str, int]] = []
    for name in ("first", "second", "third"):
        attach(Noting(notes, name))
    stream_once()
    assert [note[:2] for note in notes] == [
        (name, what) for what in ("opened", "closed") for name in ("first", "second", "third")
    ]


def test_attached_twice_is_told_once() -> None:
    """And detached once, it is gone; once more is no error."""
    notes: list[tuple[str, str, int]] = []
    observer = Noting(notes)
    attach(observer)
    attach(observer)
    stream_once()
    assert [what for _, what, _ in notes] == ["opened", "closed"]
    detach(observer)
    detach(observer)
    stream_once()
    assert len(notes) == 2


def test_two_that_are_equal_are_two() -> None:
    """Dataclasses without fields of their own are all equal, and still each wants to know."""

    @dataclass
    class Counting(Observer):
        def opened(self, stream: OpenStream) -> None:
            told.append(self)

    told: list[object] = []
    first, second = Counting(), Counting()
    attach(first)
    attach(second)
    stream_once()
    assert [id(observer) for observer in told] == [id(first), id(second)]


def test_one_that_is_detached_is_not_told_of_the_end() -> None:
    """Not even of a stream whose beginning it was told."""
    notes: list[tuple[str, str, int]] = []
    observer = Noting(notes)
    attach(observer)
    stream_once(while_open=lambda: detach(observer))
    assert [what for _, what, _ in notes] == ["opened"]


def test_one_that_detaches_itself_and_others_while_it_is_told() -> None:
    """The news under way still reaches everybody; the next does not."""
    notes: list[tuple[str, str, int]] = []
    other = Noting(notes, "other")

    class Leaving(Noting):
        def opened(self, stream: OpenStream) -> None:
            super().opened(stream)
            detach(self)
            detach(other)

    attach(Leaving(notes, "leaving"))
    attach(other)
    stream_once()
    assert [note[:2] for note in notes] == [("leaving", "opened"), ("other", "opened")]


def test_one_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The stream is complete, the others are told, and the log has the traceback."""
    notes: list[tuple[str, str, int]] = []

    class Failing(Observer):
        def opened(self, stream: OpenStream) -> None:
            raise ValueError("x")

        closed = opened  # type: ignore[assignment]

    attach(Failing())
    attach(Noting(notes))
    assert stream_once().record.reason == "completed"
    assert [what for _, what, _ in notes] == ["opened", "closed"]
    failures = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert [line.getMessage().rpartition(" ")[2] for line in failures] == ["opened()", "closed()"]
    assert all(line.exc_info for line in failures)


def test_only_what_it_wants_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """An observer without methods of its own is told everything and does nothing."""

    class Quiet(Observer):
        pass

    attach(Quiet())
    assert stream_once().record.reason == "completed"
    assert [line for line in caplog.records if line.levelno > logging.INFO] == []


def test_the_log_is_attached_from_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """Until it is detached."""
    caplog.set_level(logging.INFO, "unbroken")
    stream_once()
    assert len(caplog.records) == 1
    detach(default_log)
    stream_once()
    assert len(caplog.records) == 1


def test_attaching_in_several_threads_loses_nobody() -> None:
    """All that came are there, each once."""
    observers = [Noting([]) for _ in range(8 * 50)]
    together = threading.Barrier(8)

    def attach_some(mine: list[Noting]) -> None:
        together.wait()
        for observer in mine:
            attach(observer)

    threads = [threading.Thread(target=attach_some, args=(observers[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = [id(observer) for observer in attached()]
    assert sorted(there) == sorted({*there})
    assert {id(observer) for observer in observers} <= {*there}
