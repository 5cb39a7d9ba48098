"""`Hub.response`: who may read, what is refused, and with which answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, turns, until
from unbroken import Limits
from unbroken.errors import CloseReason, ConfigurationError
from unbroken.hub import Grant, Hub
from unbroken.testing import open_stream

REQUEST = Request({"type": "http", "headers": [], "query_string": b"", "method": "GET", "path": "/"})


def test_nothing_is_readable_without_its_being_said() -> None:
    """Neither the hub nor the route says who may read: that is refused when the response is made."""
    hub = Hub("memory://")
    with pytest.raises(ConfigurationError, match=r"nothing says who may read 'a', 'b': give authorize=.*public=True"):
        hub.response(REQUEST, "a", "b")
    assert hub.response(REQUEST, "a", public=True).media_type == "text/event-stream"
    assert Hub("memory://", authorize=lambda request, topic: True).response(REQUEST, "a")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"topics": ()}, "0 topics were given"),
        ({"topics": ("a", "a")}, "topic 'a' was given twice"),
        ({"topics": ("$x",)}, "begins with '\\$'"),
        ({"topics": (["a"],)}, "is a list"),
        ({"on_gap": "stop"}, "on_gap='stop'"),
        ({"overflow": "none"}, "overflow='none'"),
        ({"max_lag": 0}, "max_lag=0"),
        ({"backlog": -1}, "backlog=-1"),
        ({"after": "now"}, "after='now' is no position"),
        ({"heartbeat": 0}, "heartbeat=0"),
        ({"max_age": -1}, "max_age=-1"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(arguments: dict[str, Any], words: str) -> None:
    """In the route, where the error points at the line; not when the stream is already open."""
    topics = arguments.pop("topics", ("t",)) if "topics" in arguments else ("t",)
    with pytest.raises(ConfigurationError, match=words):
        Hub("memory://").response(REQUEST, *topics, public=True, **arguments)


def test_a_denied_reader_gets_403_and_nothing_of_the_topic() -> None:
    """Before anything is read: the log is not asked."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "secret")
            app = Endpoint(hub, "t", public=False, authorize=lambda request, topic: False)
            async with opened(app, str(first)) as stream:
                await stream.until_end()
                assert stream.status == 403
                assert stream.headers["cache-control"] == "no-store"
                assert b"secret" not in stream.received
                assert "stream-resume" not in stream.headers
            assert log.calls["read"] == log.calls["head"] == 0
            assert app.records == []
            assert hub.stats().topics == 0

    run(main())


def test_a_response_asks_its_own_callable_before_the_hubs() -> None:
    """`public=True` asks neither."""

    async def main() -> None:
        async with Hub("memory://", authorize=lambda request, topic: False) as hub:
            statuses = []
            own = Endpoint(hub, "t", public=False, authorize=lambda request, topic: True)
            for app in (Endpoint(hub, "t", public=False), own, Endpoint(hub, "t")):
                async with opened(app) as stream:
                    statuses.append(stream.status)
            assert statuses == [403, 200, 200]

    run(main())


def test_authorize_sees_the_request() -> None:
    """Path, query and headers are there to decide by; a coroutine function may look something up."""

    async def authorize(request: HTTPConnection, topic: str) -> bool:
        await asyncio.sleep(0)
        return request.headers.get("x-user") == "ann" and request.query_params["of"] == topic

    async def main() -> None:
        async with Hub("memory://", authorize=authorize) as hub:
            app = Endpoint(hub, "t", public=False)
            async with open_stream(app, query={"of": "t"}, headers={"x-user": "ann"}, timeout=1000.0) as stream:
                assert stream.status == 200
            async with open_stream(app, query={"of": "t"}, headers={"x-user": "bob"}, timeout=1000.0) as stream:
                assert stream.status == 403

    run(main())


def test_an_http_exception_becomes_the_frameworks_answer() -> None:
    """401 with its header, say: nothing has been sent yet."""

    def authorize(request: HTTPConnection, topic: str) -> bool:
        raise HTTPException(401, headers={"www-authenticate": "Bearer"})

    async def main() -> None:
        async with Hub("memory://", authorize=authorize) as hub:

            async def route(request: Request) -> Response:
                return hub.response(request, "t")

            async with opened(Starlette(routes=[Route("/", route)])) as stream:
                assert stream.status == 401
                assert stream.headers["www-authenticate"] == "Bearer"

    run(main())


def test_a_query_that_is_no_cursor_is_400() -> None:
    """A page that was rendered wrongly is a fault to be seen; a header like that is a gap (see test_beginning)."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            async with open_stream(Endpoint(hub, "t"), query={"last_event_id": "7"}, timeout=1000.0) as stream:
                await stream.until_end()
                assert stream.status == 400
                assert (
                    stream.received
                    == b"last_event_id is no cursor of this stream: leave it out, or give an event's id.\n"
                )
            assert hub.stats().subscribers == 0

    run(main())


def test_a_signed_cursor_is_read_by_who_has_the_secret() -> None:
    """Over several topics; a hub with another secret takes it for unreadable."""

    async def main() -> None:
        async with Hub("memory://", secret="a") as one, Hub("memory://", secret=b"b") as two:
            cursor = await one.position("t", "u")
            async with opened(Endpoint(one, "t", "u"), cursor) as stream:
                assert stream.headers["stream-resume"] == "complete"
            async with opened(Endpoint(two, "t", "u"), cursor) as stream:
                assert stream.headers["stream-resume"] == "gap; reason=unreadable"

    run(main())


def test_the_response_has_the_headers_of_an_event_stream() -> None:
    """With those that were given, the status, and the retry before anything else."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", headers={"x-a": "b"}, status_code=201, retry=1500)
            async with opened(app) as stream:
                await stream.until(lambda: bool(stream.received))
                assert stream.status == 201
                assert stream.headers["x-a"] == "b"
                assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
                assert stream.headers["cache-control"] == "no-store, no-transform"
                assert stream.received.startswith(b"retry: 1500\n\nid: ")

    run(main())


def test_a_head_request_reads_nothing() -> None:
    """Headers alone, and no stream."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            async with open_stream(Endpoint(hub, "t"), method="HEAD", timeout=1000.0) as stream:
                await stream.until_end()
                assert stream.status == 200
                assert stream.received == b""
            assert log.calls["read"] == 0

    run(main())


def test_a_revalidation_that_fails_ends_the_stream() -> None:
    """`revalidate` is asked every so often, live streams included."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            allowed = True
            app = Endpoint(hub, "t", revalidate=lambda request: allowed, revalidate_interval=10.0)
            async with opened(stepped(app)) as stream:
                await until(lambda: hub.stats().live == 1)
                await asyncio.sleep(25)
                assert stream.ended is None
                allowed = False
                await stream.until_end()
            assert app.record.reason is CloseReason.REVOKED

    run(main())


def test_a_user_is_the_routes_or_the_grants() -> None:
    """What the route says holds; revoking finds it either way."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            granted: dict[str, Any] = {"public": False, "authorize": lambda request, topic: Grant(user="ann")}
            by_grant, by_route = Endpoint(hub, "t", **granted), Endpoint(hub, "t", user="bob", **granted)
            async with opened(by_grant), opened(by_route):
                await until(lambda: hub.stats().live == 2)
                assert await hub.revoke(user="ann") == 1
                await turns()
                assert [len(by_grant.records), len(by_route.records)] == [1, 0]
                assert await hub.revoke(user="bob") == 1

    run(main())


def test_a_log_that_cannot_be_opened_is_503() -> None:
    """Where no lifespan has opened the hub before, the client is told to come again, and nothing is raised."""

    async def main() -> None:
        log = OddLog()
        log.away = True
        app = Endpoint(Hub(log), "t")
        async with opened(app) as stream:
            await stream.wait_closed()
            assert (stream.status, stream.headers["retry-after"]) == (503, "5")

    run(main())


def test_a_hub_that_closes_while_a_stream_opens_ends_it() -> None:
    """A stream that was let in before the hub closed, and began after it, ends in good order."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def key(_: object) -> str:
            await go_on.wait()
            return "somebody"

        hub = Hub("memory://")
        app = Endpoint(hub, "t", limits=Limits(key=key))
        await hub.open()
        opening = asyncio.create_task(_read_all(app))
        await turns()
        await hub.close()
        go_on.set()
        assert b"stream-end" in await opening

    run(main())


def test_who_is_revoked_while_opening_is_not_let_in() -> None:
    """`authorize` may have said yes a moment before the right was withdrawn; the stream ends as soon as it begins."""

    async def main() -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def authorize(_: object, topic: str) -> Grant:
            asked.set()
            await go_on.wait()
            return Grant(user="ann")

        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", public=False, authorize=authorize)
            opening = asyncio.create_task(_read_all(app))
            await asked.wait()
            assert await hub.revoke(user="ann") == 0
            assert await hub.revoke(user="bob") == 0
            go_on.set()
            assert b'{"reason":"revoked"}' in await opening

    run(main())


async def _read_all(app: Endpoint) -> bytes:
    async with opened(app) as stream:
        await stream.until_end()
        return bytes(stream.received)


def test_a_response_serves_one_request() -> None:
    """Kept and returned again it would read for another client with the first one's cursor and leave."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            kept = hub.response(REQUEST, "t", public=True)
            async with opened(kept):
                await until(lambda: hub.stats().live == 1)
            async with opened(kept, raise_app_errors=False, wait_for_start=False) as stream:
                await stream.wait_closed()
                assert isinstance(stream.error, ConfigurationError)
                assert "has been used: call hub.response() for each request" in str(stream.error)
            assert hub.stats().subscribers == 0

    run(main())
