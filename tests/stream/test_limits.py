"""How many streams may be open, and that the count is exact."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from unbroken import EventSourceResponse, EventStreamGuard
from unbroken.errors import ConfigurationError
from unbroken.observe import Observer, Refusal, attach, detach
from unbroken.stream.limits import Limits, Place
from unbroken.testing import DrivenStream, StreamEnd, open_stream

pytestmark = pytest.mark.core


async def forever() -> AsyncIterator[str]:
    """Say one thing, and then nothing."""
    yield "x"
    await asyncio.Event().wait()


def limited(limits: Limits, content: Any = forever, **options: Any) -> Any:
    """Return an application with a stream for each request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(content(), limits=limits, **options)(scope, receive, send)

    return app


def user_of(connection: HTTPConnection) -> str | None:
    """Return whom a header names."""
    return connection.headers.get("x-user")


async def status_of(app: Any, **options: Any) -> int:
    """Open a stream, return the status, and leave."""
    async with open_stream(app, **options) as stream:
        return stream.status


async def refused(app: Any, **options: Any) -> DrivenStream:
    """Return the whole answer to one that comes too many."""
    async with open_stream(app, **options) as stream:
        await stream.until_end()
        return stream


def test_one_too_many_is_answered_503() -> None:
    """It says when to come back and which limit it was; no cache keeps it."""
    limits = Limits(total=2, retry_after=6.2)

    async def main() -> DrivenStream:
        async with open_stream(limited(limits)), open_stream(limited(limits)):
            return await refused(limited(limits))

    answer = asyncio.run(main())
    assert (answer.status, answer.ended) == (503, StreamEnd.COMPLETE)
    assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("7", "no-store")
    assert answer.received == b"Too many event streams are open (total: 2). Try again later.\n"


def test_nobody_is_put_out_for_another() -> None:
    """Streams that are open go on when others are refused, and one that ends makes room for one."""
    limits = Limits(total=2)

    async def speaking() -> AsyncIterator[str]:
        while True:
            yield "x"
            await asyncio.sleep(0)

    async def main() -> None:
        app = limited(limits, speaking)
        async with open_stream(app) as first:
            async with open_stream(app) as second:
                assert await status_of(app) == 503
                await first.events(10)
                await second.events(10)
            assert await status_of(app) == 200
            await first.events(10)

    asyncio.run(main())


def test_a_limit_for_each_client_address() -> None:
    """Another address has places of its own, another port of the same has none; a Unix socket has no address."""
    limits = Limits(per_client=1)

    async def main() -> list[int]:
        async with open_stream(limited(limits), client=("192.0.2.1", 1000)):
            assert limits.open_streams("client", "192.0.2.1") == 1
            return [
                await status_of(limited(limits), client=client)
                for client in (("192.0.2.1", 2000), ("192.0.2.2", 1000), None, None)
            ]

    assert asyncio.run(main()) == [503, 200, 200, 200]


async def user_of_later(connection: HTTPConnection) -> str | None:
    """Return the same after a wait, as from a database."""
    await asyncio.sleep(0)
    return user_of(connection)


@pytest.mark.parametrize("key", [user_of, user_of_later])
def test_a_limit_for_each_key(key: Any) -> None:
    """The key may be asked for with an await; who has none is not counted by it."""
    limits = Limits(per_key=1, key=key)

    async def main() -> list[int]:
        app = limited(limits)
        async with open_stream(app, headers={"x-user": "ann"}), open_stream(app):
            assert limits.open_streams("key", "ann") == 1
            return [await status_of(app, headers=headers) for headers in ({"x-user": "ann"}, {"x-user": "bob"}, {})]

    assert asyncio.run(main()) == [503, 200, 200]


def test_a_refusal_is_told() -> None:
    """Observers get what was asked for, by whom, and which limit was reached."""
    refusals: list[Refusal] = []

    class Noting(Observer):
        def refused(self, refusal: Refusal) -> None:
            refusals.append(refusal)

    async def main() -> None:
        app = limited(Limits(per_key=1, key=user_of))
        async with open_stream(app, headers={"x-user": "ann"}):
            await refused(app, path="/events", headers={"x-user": "ann"}, client=("192.0.2.1", 1))

    observer = Noting()
    attach(observer)
    try:
        asyncio.run(main())
    finally:
        detach(observer)
    told = Refusal(limit="key", allowed=1, method="GET", path="/events", route=None, client="192.0.2.1:1", key="ann")
    assert refusals == [told]


async def one() -> AsyncIterator[str]:
    """Say one thing."""
    yield "x"


async def failing() -> AsyncIterator[str]:
    """Fail after the first event."""
    yield "x"
    raise ValueError("x")


async def failing_at_once() -> AsyncIterator[str]:
    """Fail before the headers leave."""
    raise HTTPException(404)
    yield ""


async def completed(app: Any) -> None:
    """Read to the end."""
    async with open_stream(app, raise_app_errors=False, wait_for_start=False) as stream:
        await stream.wait_closed()


async def left(app: Any) -> None:
    """Leave after an event."""
    async with open_stream(app) as stream:
        await stream.next_event()


async def cancelled(app: Any) -> None:
    """Be cancelled by the server."""
    async with open_stream(app) as stream:
        await stream.next_event()
        await stream.cancel()
        await stream.wait_closed()


async def start_refused(app: Any) -> None:
    """Have the start refused by what lies around the response."""

    async def around(scope: Any, receive: Any, send: Any) -> None:
        async def refusing(message: Any) -> None:
            raise RuntimeError("no such start")

        await app(scope, receive, refusing)

    await completed(around)


ENDS = [
    (one, completed),
    (failing, completed),
    (failing_at_once, completed),
    (forever, left),
    (forever, cancelled),
    (forever, start_refused),
]


@pytest.mark.parametrize(("content", "end"), ENDS, ids=lambda function: function.__name__)
def test_the_place_is_given_back_however_the_stream_ends(content: Any, end: Any) -> None:
    """Afterwards nothing is counted, and nothing of the client or the key is kept."""
    limits = Limits(total=1, per_client=1, per_key=1, key=lambda connection: "ann")

    async def main() -> None:
        for _ in range(3):
            await end(limited(limits, content))

    asyncio.run(main())
    assert limits._open == {}  # a table that grew with every address would be a leak


def test_a_place_is_held_until_the_cleanup_is_over() -> None:
    """What a stream holds is free when its generator has ended, and not when its client leaves."""
    limits, seen = Limits(total=1), []

    async def slow_to_end() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            seen.append(limits.open_streams())

    asyncio.run(left(limited(limits, slow_to_end)))
    assert seen == [1]
    assert limits.open_streams() == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_count_is_exact_whoever_comes_and_goes(seed: int) -> None:
    """Many clients opening and leaving at random: each is admitted if and only if all its limits allow."""
    chance = random.Random(seed)
    allowed = {"total": 12, "client": 4, "key": 3}
    limits = Limits(total=12, per_client=4, per_key=3, key=user_of)
    app = limited(limits)

    def counts(of: dict[str, Any], held: list[tuple[dict[str, Any], AsyncExitStack]]) -> dict[str, int]:
        """Count by hand what the limits should have counted."""
        mine = {"total": len(held)}
        mine["client"] = sum(other["client"] == of["client"] for other, _ in held)
        mine["key"] = sum(other["headers"] == of["headers"] for other, _ in held)
        return mine

    async def come(held: list[tuple[dict[str, Any], AsyncExitStack]]) -> None:
        of: dict[str, Any] = {
            "client": (chance.choice("abcd"), 1),
            "headers": {"x-user": chance.choice(["ann", "bob", "cid"])},
        }
        expected = all(count < allowed[limit] for limit, count in counts(of, held).items())
        stack = AsyncExitStack()
        stream = await stack.enter_async_context(open_stream(app, **of))
        assert (stream.status == 200) == expected
        if expected:
            held.append((of, stack))
        else:
            await stack.aclose()

    async def main() -> None:
        held: list[tuple[dict[str, Any], AsyncExitStack]] = []
        for _ in range(150):
            if held and chance.random() < 0.45:
                await held.pop(chance.randrange(len(held)))[1].aclose()
            else:
                await come(held)
            assert limits.open_streams() == len(held)
        for _, stack in held:
            await stack.aclose()

    asyncio.run(main())
    assert limits._open == {}


def scope_of(client: str) -> dict[str, Any]:
    """Return what a limit needs of a request."""
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "client": (client, 1)}


@pytest.fixture
def _restless() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_restless")
def test_event_loops_in_several_threads_share_a_limit() -> None:
    """Never are more places given than there are, and all come back."""
    limits, holding, excess = Limits(total=2), threading.Semaphore(2), []
    together = threading.Barrier(4)

    async def come_and_go() -> None:
        together.wait()
        for _ in range(15_000):
            place = await limits.admit(scope_of("a"))
            if isinstance(place, Place):
                if not holding.acquire(blocking=False):
                    excess.append(place)
                await asyncio.sleep(0)
                holding.release()
                place.give_back()

    threads = [threading.Thread(target=lambda: asyncio.run(come_and_go())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert excess == []
    assert limits._open == {}


def test_a_place_is_given_back_once() -> None:
    """However often that is said."""

    async def main() -> int:
        limits = Limits(total=2)
        first, second = await limits.admit(scope_of("a")), await limits.admit(scope_of("a"))
        assert isinstance(first, Place)
        assert isinstance(second, Place)
        first.give_back()
        first.give_back()
        return limits.open_streams()

    assert asyncio.run(main()) == 1


def test_the_limits_of_a_guard_and_of_a_response_both_hold() -> None:
    """Who is refused by the second has its place with the first given back."""
    near, wide, far = Limits(total=1), Limits(total=9), Limits(per_client=2)
    app = EventStreamGuard(limited(near), limits=far)
    other = EventStreamGuard(limited(wide), limits=far)

    async def main() -> None:
        async with open_stream(app):
            assert (await refused(app)).received.startswith(b"Too many event streams are open (total: 1)")
            assert (near.open_streams(), far.open_streams()) == (1, 1)
            async with open_stream(other):
                assert (await refused(other)).received.startswith(b"Too many event streams are open (client: 2)")
                assert (near.open_streams(), wide.open_streams(), far.open_streams()) == (1, 1, 2)

    asyncio.run(main())
    assert (near.open_streams(), wide.open_streams(), far.open_streams()) == (0, 0, 0)


def no_key(connection: HTTPConnection) -> str:
    """Be no good as a key."""
    raise HTTPException(401)


def test_what_a_key_raises_reaches_the_framework() -> None:
    """It answers for the request, and no place is lost, not with another limit either."""
    first = Limits(total=1)
    app = EventStreamGuard(limited(first), limits=Limits(per_key=1, key=no_key))

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(HTTPException):
                async with open_stream(app):
                    pass

    asyncio.run(main())
    assert first.open_streams() == 0


def test_a_cancellation_while_a_key_is_awaited_loses_no_place() -> None:
    """The first limit's place comes back when the second's question is broken off."""
    first, asked = Limits(total=1), asyncio.Event()

    async def never(connection: HTTPConnection) -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async def main() -> None:
        app = EventStreamGuard(limited(first), limits=Limits(per_key=1, key=never))
        async with open_stream(app, wait_for_start=False) as stream:
            await asked.wait()
            assert first.open_streams() == 1
            await stream.cancel()
            await stream.wait_closed()

    asyncio.run(main())
    assert first.open_streams() == 0


def test_a_key_that_cannot_be_counted_is_named() -> None:
    """It is said at the first request, and nothing is half counted."""
    limits = Limits(key=lambda connection: ["ann"])  # type: ignore[arg-type, return-value]

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="key returned a list"):
            async with open_stream(limited(limits)):
                pass

    asyncio.run(main())
    assert limits.open_streams() == 0


BAD = [
    ({"total": 0}, "total=0 is no limit: give an integer of 1 or more"),
    ({"total": True}, "total=True is no limit"),
    ({"per_client": 1.5}, "per_client=1.5 is no limit"),
    ({"per_key": -1, "key": user_of}, "per_key=-1 is no limit"),
    ({"per_key": 5}, "per_key=5 has nothing to count by: give key="),
    ({"retry_after": -1}, "retry_after=-1 is not a time: give seconds, 0 or more"),
    ({"retry_after": float("inf")}, "retry_after=inf is not a time"),
    ({"retry_after": True}, "retry_after=True is not a time"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD, ids=[text for _, text in BAD])
def test_what_is_no_limit_is_refused(arguments: dict[str, Any], text: str) -> None:
    """The error names the argument, its value, and what to give."""
    with pytest.raises(ConfigurationError) as caught:
        Limits(**arguments)
    assert text in str(caught.value)
