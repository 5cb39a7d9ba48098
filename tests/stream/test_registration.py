"""An open stream as the rest of the process sees it, and who is told of its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.stream.support import Recorded
from unbroken import CloseReason, EventSourceResponse, EventStreamGuard, while_connected
from unbroken.errors import ConfigurationError
from unbroken.observe import OpenStream, StreamRecord, open_streams
from unbroken.stream.limits import Limits
from unbroken.stream.registration import policies_of
from unbroken.stream.wheel import RESOLUTION
from unbroken.testing import open_stream, run_with_virtual_clock

pytestmark = pytest.mark.core


async def silent() -> AsyncIterator[str]:
    """Say nothing, for ever."""
    await asyncio.Event().wait()
    yield ""


def only() -> OpenStream:
    """Return the one stream that is open."""
    (stream,) = open_streams()
    return stream


def test_an_open_stream_shows_its_numbers() -> None:
    """They are those of the moment: events, heartbeats, bytes, age and silence."""

    async def generator() -> AsyncIterator[str]:
        await asyncio.sleep(4)
        yield "x"
        await asyncio.Event().wait()

    async def main() -> None:
        async with open_stream(app, "/events", method="POST", headers={"x-user": "ann"}, timeout=1000):
            await asyncio.sleep(24.5)  # 25 s from the beginning: the headers took the first half second
            stream = only()
            assert (stream.method, stream.path, stream.route) == ("POST", "/events", None)
            assert (stream.client, stream.key, stream.guarded) == ("127.0.0.1:50000", "ann", False)
            assert (stream.events, stream.heartbeats, stream.reason) == (1, 1, None)
            assert stream.sent_bytes == len(b": keep-alive\n\ndata: x\n\n: keep-alive\n\n")
            assert stream.age() == pytest.approx(25, abs=2 * RESOLUTION)
            assert stream.silence() == pytest.approx(6, abs=2 * RESOLUTION)  # since the heartbeat at 19 s

    app = Recorded(generator(), limits=Limits(key=lambda connection: connection.headers["x-user"]))
    run_with_virtual_clock(main())


def test_a_stream_is_open_until_its_cleanup_is_over() -> None:
    """Meanwhile it shows why it is ending; afterwards it is not there any more."""
    seen: list[tuple[int, CloseReason | None]] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                yield "x"
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            seen.append((only().id, only().reason))

    async def main() -> int:
        async with open_stream(app) as stream:
            await stream.next_event()
            return only().id

    app = Recorded(generator())
    stream_id = run_with_virtual_clock(main())
    assert seen == [(stream_id, CloseReason.CLIENT_CLOSED)]
    assert app.record.id == stream_id
    assert open_streams() == []


def test_the_oldest_comes_first() -> None:
    """Each stream has an id of its own, and they are listed in the order in which they opened."""

    async def main() -> None:
        async with open_stream(Recorded(silent())), open_stream(Recorded(silent()), "/second"):
            async with open_stream(Recorded(silent()), "/third"):
                assert [stream.path for stream in open_streams()] == ["/", "/second", "/third"]
                assert len({stream.id for stream in open_streams()}) == 3
            assert [stream.path for stream in open_streams()] == ["/", "/second"]

    run_with_virtual_clock(main())


async def read(app: Any) -> None:
    """Read a stream to its end."""
    async with open_stream(app, timeout=1000) as stream:
        await stream.until_end()


def response(on_close: Any) -> EventSourceResponse:
    """Return a response of one event."""

    async def one() -> AsyncIterator[str]:
        yield "x"

    return EventSourceResponse(one(), on_close=on_close)


def test_on_close_may_await() -> None:
    """The response ends when it has."""
    records: list[StreamRecord] = []

    async def on_close(record: StreamRecord) -> None:
        await asyncio.sleep(5)
        records.append(record)

    run_with_virtual_clock(read(response(on_close)))
    assert [record.reason for record in records] == [CloseReason.COMPLETED]


def test_on_close_has_ten_seconds() -> None:
    """One that never ends holds up nothing for longer."""
    broken_off: list[float] = []

    async def on_close(record: StreamRecord) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.append(asyncio.get_running_loop().time())

    run_with_virtual_clock(read(response(on_close)))
    assert broken_off == [pytest.approx(10, abs=0.2)]


def test_what_on_close_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It is not the stream's fault, nor its client's: the response ended well."""

    def on_close(record: StreamRecord) -> None:
        raise ValueError("x")

    run_with_virtual_clock(read(response(on_close)))
    (line,) = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert line.getMessage() == "on_close of a stream failed"
    assert line.exc_info


def test_the_guard_s_on_close_is_called_as_well() -> None:
    """Both get the same record; the response's own comes first."""
    order: list[tuple[str, int]] = []
    inner = response(lambda record: order.append(("response", record.id)))
    run_with_virtual_clock(read(EventStreamGuard(inner, on_close=lambda record: order.append(("guard", record.id)))))
    assert [who for who, _ in order] == ["response", "guard"]
    assert len({stream_id for _, stream_id in order}) == 1


def test_a_stream_without_policies_holds_none() -> None:
    """Most have none, and pay nothing for it."""
    assert policies_of(None, None, 60.0, None) == ()


class Collecting(list[StreamRecord]):
    """A callable that is falsy while it is empty."""

    def __call__(self, record: StreamRecord) -> None:
        self.append(record)


class Allowing(list[Any]):
    """The same for `revalidate`."""

    def __call__(self, connection: Any) -> bool:
        self.append(connection)
        return False


class EmptyLimits(Limits):
    """Limits that are falsy while nothing is counted."""

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    "arguments",
    [(EmptyLimits(total=1), None, 60.0, None), (None, Allowing(), 60.0, None), (None, None, 60.0, Collecting())],
    ids=["limits", "revalidate", "on_close"],
)
def test_what_is_falsy_holds_as_well(arguments: Any) -> None:
    """Only None is nothing."""
    limits, revalidate, _, on_close = arguments
    (policy,) = policies_of(*arguments)
    assert policy.limits is limits
    assert policy.revalidate is revalidate
    assert policy.on_close is on_close


def test_an_empty_collector_is_called() -> None:
    """A list that is callable gets its first record."""
    records = Collecting()
    run_with_virtual_clock(read(response(records)))
    assert [record.reason for record in records] == [CloseReason.COMPLETED]


BAD = [
    ({"limits": 100}, "limits=100 is no Limits: give Limits(total=…)"),
    ({"revalidate": True}, "revalidate=True cannot be called: give a function"),
    ({"on_close": []}, "on_close=[] cannot be called: give a function"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD, ids=str)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], text: str) -> None:
    """When the response is made, and not when somebody asks for it."""
    with pytest.raises(ConfigurationError) as caught:
        EventSourceResponse((), **arguments)
    assert text in str(caught.value)
