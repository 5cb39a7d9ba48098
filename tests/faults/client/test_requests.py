"""What the server is asked: redirects, authorization, cookies, a proxy between, another library's client."""

from __future__ import annotations

import asyncio
import base64
import importlib
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import httpx2
import pytest

from unbroken.client import EventSource, OutgoingRequest

from .origin import Answer, Exchange, answering, event, head, refusing, streaming
from .reading import READERS, Read

both = pytest.mark.parametrize("read", READERS.values(), ids=READERS)

GONE = refusing("204 No Content")
ONE, TWO = streaming(event(1)), streaming(event(2))


@both
def test_what_is_asked_for(read: Read) -> None:
    """WHATWG 9.2.3: an event stream, fresh; not compressed; and no place before there is one."""
    with answering(ONE, GONE) as origin:
        read(origin.url, headers={"X-Feed": "a"}, params={"topic": "b"})
    for request, place in zip(origin.requests, [None, "1"], strict=True):
        asked = {name: request.headers[name] for name in ("Accept", "Cache-Control", "Accept-Encoding", "X-Feed")}
        assert list(asked.values()) == ["text/event-stream", "no-store", "identity", "a"]
        assert (request.path, request.asked_from) == ("/?topic=b", place)


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_at_each_connection(status: int, read: Read) -> None:
    """With the place; and the next connection asks at the first address again."""
    moved = refusing(f"{status} Moved", {"Location": "/there?with=this"})
    with answering(moved, ONE, moved, TWO, GONE) as origin:
        reading = read(origin.url)
    assert reading.data == ["1", "2"]
    there = "/there?with=this"
    assert [request.path for request in origin.requests] == ["/", there, "/", there, "/"]
    assert origin.places == [None, None, "1", "1", "2"]


@both
def test_a_redirect_elsewhere_takes_no_secrets_along(read: Read) -> None:
    """To another origin the place goes, and the credentials stay."""
    with answering(ONE, GONE) as other:
        moved = refusing("302 Found", {"Location": other.url})
        with answering(moved) as origin:
            reading = read(origin.url, auth=("user", "secret"))
    assert reading.data == ["1"]
    assert all("Authorization" in request.headers for request in origin.requests)
    assert not any("Authorization" in request.headers for request in other.requests)
    assert other.places == [None, "1"]


@both
def test_a_redirect_at_home_takes_them_along(read: Read) -> None:
    """On the same origin both addresses get them."""
    with answering(refusing("302 Found", {"Location": "/there"}), ONE, GONE) as origin:
        read(origin.url, auth=("user", "secret"))
    wanted = "Basic " + base64.b64encode(b"user:secret").decode()
    assert [request.headers["Authorization"] for request in origin.requests] == [wanted] * 3


@both
def test_prepare_is_called_for_each_connection(read: Read) -> None:
    """With the place and the attempt's number; and what it changes is for this connection only."""
    seen = list[tuple[int, str]]()

    def prepare(request: OutgoingRequest) -> None:
        seen.append((request.attempt, request.last_event_id))
        request.headers["Authorization"] = f"Bearer {len(seen)}"
        request.params["after"] = request.last_event_id
        if request.attempt == 3:
            request.last_event_id = ""
        assert "X-Once" not in request.headers
        request.headers["X-Once"] = "1"

    with answering(ONE, refusing("503 Busy"), TWO, GONE) as origin:
        reading = read(origin.url, prepare=prepare)
    assert reading.data == ["1", "2"]
    assert seen == [(1, ""), (2, "1"), (3, "1"), (4, "2")]
    assert [request.headers["Authorization"] for request in origin.requests] == [f"Bearer {n}" for n in (1, 2, 3, 4)]
    assert [request.path for request in origin.requests] == ["/?after=", "/?after=1", "/?after=1", "/?after=2"]
    assert origin.places == [None, "1", None, "2"]


def test_prepare_may_wait_for_a_token() -> None:
    """A coroutine function is awaited."""

    async def prepare(request: OutgoingRequest) -> None:
        await asyncio.sleep(0)
        request.headers["Authorization"] = "Bearer fresh"

    with answering(ONE, GONE) as origin:
        READERS["async"](origin.url, prepare=prepare)
    assert [request.headers["Authorization"] for request in origin.requests] == ["Bearer fresh"] * 2


@both
def test_what_prepare_raises_is_raised(read: Read) -> None:
    """It is the program's own error: no fault of the stream, and not tried again."""

    def prepare(request: OutgoingRequest) -> None:
        if request.attempt == 2:
            raise KeyError("no token")

    with answering(ONE) as origin:
        reading = read(origin.url, prepare=prepare)
    assert (reading.data, type(reading.error), len(origin.requests)) == (["1"], KeyError, 1)


@both
def test_cookies_are_kept(read: Read) -> None:
    """What the first answer sets, the next request brings, as balancers need it that keep a client at one server."""
    sticky = streaming(event(1), begin=head("Set-Cookie: node=7; Path=/", "Connection: close"))
    with answering(sticky, GONE) as origin:
        read(origin.url)
    assert [request.headers["Cookie"] for request in origin.requests] == [None, "node=7"]


def maker(library: ModuleType, kind: str, **options: Any) -> Callable[[], Any]:
    """Return what makes a client of one of the two libraries."""
    return partial(library.AsyncClient if kind == "async" else library.Client, **options)


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
@pytest.mark.parametrize("kind", READERS)
def test_a_client_of_ones_own(kind: str, library: str) -> None:
    """Its headers, base and limits hold, its faults are ours, its timeouts give way; and it is not closed."""
    options = {"headers": {"X-Own": "yes"}, "timeout": 0.05, "follow_redirects": False}
    with answering(delayed(streaming(event(1), end="reset")), delayed(TWO), GONE) as origin:
        client = maker(importlib.import_module(library), kind, base_url=origin.url, **options)
        reading = READERS[kind]("/feed", make_client=client)
    assert (reading.data, reading.states) == (["1", "2"], "ococx")
    assert [(request.path, request.headers["X-Own"]) for request in origin.requests] == [("/feed", "yes")] * 3


def delayed(answer: Answer) -> Answer:
    """Answer after a while: longer than the timeout of the client that is given."""

    def late(exchange: Exchange) -> None:
        time.sleep(0.1)
        answer(exchange)

    return late


@pytest.mark.parametrize("kind", READERS)
def test_a_proxy_between(kind: str) -> None:
    """A client that goes through a proxy asks it for the whole address, and reads on through it."""
    with answering(streaming(event(1), end="reset"), TWO, GONE) as proxy:
        reading = READERS[kind]("http://feed.example/live", make_client=maker(httpx2, kind, proxy=proxy.url))
    assert (reading.data, proxy.places) == (["1", "2"], [None, "1", "2"])
    assert {request.path for request in proxy.requests} == {"http://feed.example/live"}


def test_two_streams_over_one_client() -> None:
    """They do not disturb each other: one is reset, the other reads on."""

    async def read(client: httpx2.AsyncClient, url: str) -> list[str]:
        async with EventSource(url, client=client, reconnect_delay=0) as events:
            return [event.data async for event in events]

    async def main(first: str, second: str) -> list[list[str]]:
        async with httpx2.AsyncClient() as client, asyncio.timeout(10):
            return list(await asyncio.gather(read(client, first), read(client, second)))

    reset = streaming(event(2), end="reset")
    with answering(ONE, reset, GONE) as first, answering(reset, ONE, streaming(event(3)), GONE) as second:
        assert asyncio.run(main(first.url, second.url)) == [["1", "2"], ["2", "1", "3"]]
