"""What each request to the bridge is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.hub.bridge.support import TOKEN, client_of, problem, publish_app, published
from tests.hub.support import OddLog
from unbroken.hub import Hub

OTHER = "another-token-of-16"


def ask(path: str = "/t", content: bytes = b"x", method: str = "POST", **arguments: Any) -> httpx2.Response:
    """Make one request to a new hub's bridge, by which nothing may be published unless it says so."""
    settings = arguments.pop("settings", {})

    async def main() -> httpx2.Response:
        async with Hub("memory://") as hub:
            async with client_of(publish_app(hub, **settings), arguments.pop("token", TOKEN)) as client:
                response = await client.request(method, path, content=content, **arguments)
            topics = await (await hub._home.open()).log.topics()
            assert bool(topics) is response.is_success
            return response

    return asyncio.run(main())


def test_published() -> None:
    """201 with the position; the same again by its key is 200, with the same position, and publishes nothing."""

    async def main() -> None:
        async with Hub("memory://") as hub, client_of(publish_app(hub)) as client:
            body = '{"state": "bezahlt", "sum": "9 €"}'
            first = await client.post("/orders:42?event=order", content=body, headers={"Idempotency-Key": '"k 1"'})
            again = await client.post("/orders:42?event=order", content="no", headers={"Idempotency-Key": '"k 1"'})
            assert (first.status_code, again.status_code) == (201, 200)
            assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
            assert first.json()["id"] == again.json()["id"]
            assert first.headers["cache-control"] == "no-store"
            assert await published(hub, "orders:42") == [(first.json()["id"], "order", body)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("one", "other"), [('"abc"', "abc"), (r'"a\"b\\c"', r'a"b\c'), ("8e03978e-40d5", '"8e03978e-40d5"')]
)
def test_a_key_with_and_without_its_quotes(one: str, other: str) -> None:
    """The IETF's draft has the key quoted, and people do not: it is one key."""

    async def main() -> None:
        async with Hub("memory://") as hub, client_of(publish_app(hub)) as client:
            await client.post("/t", content="1", headers={"Idempotency-Key": one})
            assert (await client.post("/t", content="1", headers={"Idempotency-Key": other})).status_code == 200

    asyncio.run(main())


def test_closing() -> None:
    """`close=true` is the last event: what comes after it is 409, and its own repetition 200."""

    async def main() -> None:
        async with Hub("memory://") as hub, client_of(publish_app(hub)) as client:
            key = {"Idempotency-Key": "end"}
            assert (await client.post("/t?close=true&event=done", headers=key)).status_code == 201
            assert problem(await client.post("/t", content="late"))[0] == 409
            assert (await client.post("/t?close=true&event=done", headers=key)).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "topic"), [("/a/b/c", "a/b/c"), ("/a%2Fb", "a/b"), ("/k%C3%B6ln%20%3F%23%25", "köln ?#%"), ("/a/", "a/")]
)
def test_the_path_is_the_topic(path: str, topic: str) -> None:
    """Decoded as a path is, slashes and all."""

    async def main() -> None:
        async with Hub("memory://") as hub, client_of(publish_app(hub)) as client:
            await client.post(path, content="x")
            assert list(await (await hub._home.open()).log.topics()) == [topic]

    asyncio.run(main())


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN])
def test_without_a_token(authorization: str | None) -> None:
    """401, and how to bring one."""
    headers = {} if authorization is None else {"authorization": authorization}
    response = ask(headers=headers, token=None)
    assert problem(response) == (401, "send 'Authorization: Bearer <token>'")
    assert response.headers["www-authenticate"] == 'Bearer realm="publish"'


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"])
def test_with_another_token(token: str) -> None:
    """401, and that this one is not known."""
    response = ask(headers={"authorization": b"bearer " + token.encode("latin-1")}, token=None)
    assert problem(response) == (401, "this token is not known")
    assert response.headers["www-authenticate"] == 'Bearer realm="publish", error="invalid_token"'


def test_a_token_for_some_topics() -> None:
    """Each token has its patterns; for other topics it is 403."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = publish_app(hub, tokens={TOKEN: ["orders:*", "news"], OTHER: "*"})
            async with client_of(app) as some, client_of(app, OTHER) as every:
                assert (await some.post("/orders:42")).status_code == 201
                assert (await some.post("/news")).status_code == 201
                assert problem(await some.post("/users:1"))[0] == 403
                assert (await every.post("/users:1")).status_code == 201

    asyncio.run(main())


def test_tokens_beside_each_other() -> None:
    """Two hold at once, so that one can be replaced; `topics` is for both."""
    settings = {"tokens": [OTHER, TOKEN], "topics": ["a*", "b*"]}
    assert ask("/apple", settings=settings).status_code == 201
    assert ask("/berry", settings=settings, token=OTHER).status_code == 201
    assert problem(ask("/cherry", settings=settings))[0] == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods(method: str) -> None:
    """405, with what is allowed, whoever asks: no page of a stranger gets leave by CORS."""
    response = ask(method=method, token=None)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("path", "headers", "detail"),
    [
        ("/", {}, "topic='' has 0 characters"),
        ("/$revoked", {}, "begins with '$'"),
        ("/a%00b", {}, "leave out what cannot be printed"),
        ("/a%09b", {}, "leave out what cannot be printed"),
        ("/a%0A", {}, "leave out what cannot be printed"),
        ("/a%0Ab", {}, "leave out what cannot be printed"),
        (f"/{'x' * 257}", {}, "has 257 characters"),
        ("/%FF", {}, "not UTF-8"),
        ("/t?evnt=x", {}, "the query has 'evnt'"),
        ("/t?event=a&event=b", {}, "twice"),
        ("/t?event=%FF", {}, "the query cannot be read"),
        ("/t?" + "event=a&" * 20, {}, "the query cannot be read"),
        ("/t?event", {}, "the query cannot be read"),
        ("/t?event=stream-end", {}, "a control event's"),
        ("/t?event=a%0Ab", {}, "event="),
        ("/t?close=yes", {}, "close='yes' is neither"),
        ("/t", {"idempotency-key": '"a'}, "Idempotency-Key is none"),
        ("/t", {"idempotency-key": ""}, "Idempotency-Key is none"),
        ("/t", {"idempotency-key": '""'}, "key='' is none"),
        ("/t", {"idempotency-key": "two words"}, "Idempotency-Key is none"),
        ("/t", {"idempotency-key": "x" * 513}, "is none: give a str of 1 to 512"),
    ],
)
def test_what_cannot_be(path: str, headers: Mapping[str, str], detail: str) -> None:
    """400, with what is wrong."""
    status, said = problem(ask(path, headers=headers))
    assert status == 400
    assert detail in said


def test_a_newline_below_a_mount() -> None:
    """400, and no topic that has the mount's path in its name: patterns pass over a newline at the end."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Starlette(routes=[Mount("/publish", publish_app(hub))])
            async with client_of(app) as client:
                assert problem(await client.post("/publish/orders%0A", content="x"))[0] == 400
            assert list(await (await hub._home.open()).log.topics()) == []

    asyncio.run(main())


def test_a_key_given_twice() -> None:
    """400: which of the two is meant cannot be known."""
    assert problem(ask(headers=[("idempotency-key", "a"), ("idempotency-key", "b")]))[0] == 400


@pytest.mark.parametrize(
    ("content", "headers", "detail"),
    [
        (b"caf\xe9", {}, "not UTF-8: byte 3 is 0xe9"),
        (b"x", {"content-type": "text/plain; charset=ISO-8859-1"}, "said to be 'iso-8859-1'"),
        (b"x", {"content-type": "multipart/form-data; boundary=x"}, "a form of several parts"),
        (b"x", {"content-encoding": "gzip"}, "packed ('gzip')"),
    ],
)
def test_what_is_no_text(content: bytes, headers: Mapping[str, str], detail: str) -> None:
    """415: nothing is decoded by a guess."""
    status, said = problem(ask(content=content, headers=headers))
    assert status == 415
    assert detail in said


@pytest.mark.parametrize(
    "media_type", ["text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded"]
)
def test_the_type_of_the_body_is_free(media_type: str) -> None:
    """Text is text; `curl -d` says that it were a form."""
    assert ask(headers={"content-type": media_type}).status_code == 201


@pytest.mark.parametrize("size", [1025, 5000])
def test_too_large_a_body(size: int) -> None:
    """413, from the first byte above the bound on, by the header or by counting."""

    async def parts() -> Any:
        for _ in range(size):
            yield b"x"

    for content in (b"x" * size, parts()):
        response = ask(content=content)
        assert problem(response)[0] == 413
        assert response.headers["connection"] == "close"


def test_too_large_an_event() -> None:
    """413 too where only the event's form makes it too large; at the bound it is published."""
    assert problem(ask(content=b"\n" * 200))[0] == 413
    assert ask(content=b"x" * (1024 - len(b"data: \n"))).status_code == 201
    assert problem(ask(content=b"x" * (1025 - len(b"data: \n"))))[0] == 413


def test_a_length_that_promises_too_much_is_not_waited_for() -> None:
    """A client that asks first, by `Expect`, is told before it sends."""
    response = ask(content=b"", headers={"content-length": "1025", "expect": "100-continue"})
    assert problem(response)[0] == 413


def test_the_rate_of_a_token() -> None:
    """As many at once as the burst, then 429 with the seconds to wait; another token has its own."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = publish_app(hub, tokens=[TOKEN, OTHER], rate=0.01, burst=3)
            async with client_of(app) as client, client_of(app, OTHER) as other:
                assert [(await client.post("/t")).status_code for _ in range(5)] == [201] * 3 + [429] * 2
                refused = await client.post("/t")
                assert problem(refused)[0] == 429
                assert 1 < int(refused.headers["retry-after"]) <= 100
                assert (await other.post("/t")).status_code == 201

    asyncio.run(main())


def test_the_log_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """503 with the seconds to wait; which engine it is stands in our log, quietly, and not in the answer."""
    caplog.set_level(logging.DEBUG, "unbroken")

    async def main() -> httpx2.Response:
        log = OddLog()
        async with Hub(log) as hub, client_of(publish_app(hub)) as client:
            log.away = True
            return await client.post("/t", content="x")

    response = asyncio.run(main())
    status, detail = problem(response)
    assert (status, response.headers["retry-after"]) == (503, "5")
    assert "with an Idempotency-Key it is published once" in detail
    (said,) = (record for record in caplog.records if "sent by HTTP" in record.message)
    assert (said.levelname, "the log is away" in said.message) == ("DEBUG", True)
    assert "the log is away" not in detail


def test_too_many_at_once() -> None:
    """So many bodies of one token are held, and no more: 503, until one is done; others have room meanwhile."""

    async def main() -> None:
        log = OddLog()
        gate = asyncio.Event()

        async def wait(method: str, topic: str) -> None:
            if method == "append" and topic == "t":
                await gate.wait()

        async with AsyncExitStack() as stack:
            app = publish_app(await stack.enter_async_context(Hub(log)), tokens=[TOKEN, OTHER], rate=None)
            client = await stack.enter_async_context(client_of(app))
            other = await stack.enter_async_context(client_of(app, OTHER))
            log.before = wait
            waiting = [asyncio.create_task(client.post("/t", content="x")) for _ in range(64)]
            async with asyncio.timeout(10):
                while log.calls["append"] < 64:
                    await asyncio.sleep(0)
            refused = await client.post("/t", content="x")
            assert (problem(refused)[0], refused.headers["retry-after"]) == (503, "1")
            assert (await other.post("/other", content="x")).status_code == 201
            gate.set()
            assert {(await task).status_code for task in waiting} == {201}
            assert (await client.post("/t", content="x")).status_code == 201

    asyncio.run(main())
