from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from unbroken.errors import StreamTruncated
from unbroken.testing import AppFailedError, AppStillRunningError, StreamingASGITransport, run_with_virtual_clock
from unbroken.testing.connection import ASGIApp, Receive, Scope, Send
from unbroken.testing.waiting import Changes

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream")],
}

libraries = pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])


def body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    """A message of the response's body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


@asynccontextmanager
async def get(
    app: ASGIApp, *, library: ModuleType = httpx2, timeout: float | None = 5.0, **options: Any
) -> AsyncIterator[Any]:
    """A GET of an application by a client of its own; the body is not read yet."""
    async with (
        library.AsyncClient(transport=StreamingASGITransport(app, **options), timeout=timeout) as client,
        client.stream("GET", "http://testserver/") as response,
    ):
        yield response


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send event after event, until `receive` tells that the client has left."""
    leaving = asyncio.ensure_future(_gone(receive))
    await send(START)
    number = 0
    while not leaving.done():
        await send(body(b"data: %d\n\n" % number))
        number += 1
        await asyncio.sleep(0)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@libraries
def test_an_endless_stream_is_read_as_it_comes_and_left(library: ModuleType) -> None:
    """Each body message is a chunk; closing the response lets the application see the disconnect and end."""

    async def main() -> list[bytes]:
        async with get(endless, library=library) as response:
            pieces = response.aiter_raw()
            return [await anext(pieces) for _ in range(3)]

    assert asyncio.run(main()) == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


def test_the_request_is_what_the_client_sends() -> None:
    """Method, URL, headers and body reach the application as a server would hand them on, scope= on top."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        request = await receive()
        seen = {name: scope[name] for name in ("method", "path", "scheme", "server", "root_path")}
        seen["raw_path"], seen["query"] = scope["raw_path"].decode(), scope["query_string"].decode()
        seen["headers"] = {name.decode(): value.decode() for name, value in scope["headers"]}
        await send(START)
        await send(body(json.dumps(seen | {"body": request["body"].decode()}).encode(), more=False))

    async def main() -> Any:
        transport = StreamingASGITransport(echo, scope={"root_path": "/api"})
        async with httpx2.AsyncClient(transport=transport) as client:
            answer = await client.post("https://example.org/a%20b?topic=a%26b", content=b"ask", headers={"X-Id": "7"})
            return answer.json()

    seen = asyncio.run(main())
    headers = seen.pop("headers")
    assert (headers["host"], headers["x-id"], headers["content-length"]) == ("example.org", "7", "3")
    assert seen == {
        "method": "POST",
        "path": "/a b",
        "raw_path": "/a%20b",
        "query": "topic=a%26b",
        "scheme": "https",
        "server": ["example.org", 443],
        "root_path": "/api",
        "body": "ask",
    }


def test_a_client_that_does_not_read_holds_the_application_up() -> None:
    """`send` suspends after `buffer_messages` messages, and goes on when one was read."""
    sent, changes = list[int](), Changes()

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for number in range(100):
            sent.append(number)
            changes.notify()
            await send(body(b"x"))

    async def main() -> None:
        async with get(counting, buffer_messages=2) as response:
            assert await changes.until_deadline(lambda: len(sent) == 3, 5)
            pieces = response.aiter_raw()
            await anext(pieces)
            await anext(pieces)
            assert await changes.until_deadline(lambda: len(sent) == 5, 5)
            for _ in range(20):  # turns in which it could send more
                await asyncio.sleep(0)
            assert len(sent) == 5

    asyncio.run(main())


@libraries
def test_a_body_that_is_not_completed_is_a_protocol_error(library: ModuleType) -> None:
    """After what came, the client meets what it meets when a server's connection breaks."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"data: 1\n\nda"))

    async def main() -> None:
        async with get(broken, library=library) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"data: 1\n\nda"
            with pytest.raises(library.RemoteProtocolError, match="without completing"):
                await anext(pieces)

    asyncio.run(main())


@libraries
def test_silence_is_the_clients_read_timeout(library: ModuleType) -> None:
    """Before the response and within it; the text says where the application waits."""

    async def mute(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/started":
            await send(START)
        await asyncio.sleep(3600)

    async def main() -> None:
        transport = StreamingASGITransport(mute)
        with pytest.raises(AppStillRunningError):
            async with library.AsyncClient(transport=transport, timeout=60) as client:
                for path in ("", "started"):
                    with pytest.raises(library.ReadTimeout, match=r"within 60 s; .*waits in .*mute"):
                        await client.get(f"http://testserver/{path}")

    run_with_virtual_clock(main())


def test_a_client_without_read_timeout_waits() -> None:
    """An hour of silence is no error where the client has set no limit."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3600)
        await send(START)
        await asyncio.sleep(3600)
        await send(body(b"data: 1\n\n", more=False))

    async def main() -> bytes:
        async with get(slow, timeout=None) as response:
            read: bytes = await response.aread()
            return read

    assert run_with_virtual_clock(main()) == b"data: 1\n\n"


def failing(moment: str) -> ASGIApp:
    """An application that raises before its response, within it, or after its end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if moment != "before":
            await send(START)
            await send(body(b"data: 1\n\n", more=moment == "within"))
        raise RuntimeError(f"the database is gone {moment}")

    return app


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_what_the_application_raises_is_raised_once(moment: str) -> None:
    """Out of the request or the read that meets it, or else when the client is closed."""
    seen = list[str]()

    async def main() -> None:
        async with get(failing(moment)) as response:
            seen.append("started")
            await response.aread()
            seen.append("read")

    with pytest.raises(RuntimeError, match=moment):
        asyncio.run(main())
    assert seen == {"before": [], "within": ["started"], "after": ["started", "read"]}[moment]


def test_an_error_that_was_raised_is_not_raised_again() -> None:
    """A test that expects the application's error where it meets it closes its client in peace."""

    async def main() -> None:
        async with get(failing("within")) as response:
            with pytest.raises(RuntimeError):
                await response.aread()

    asyncio.run(main())


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_server_would_tell_its_client_nothing_of_it(moment: str) -> None:
    """Without raise_app_errors the client sees a 500 or a body that breaks off, as from a server."""

    async def main() -> tuple[int, str]:
        async with get(failing(moment), raise_app_errors=False) as response:
            try:
                return response.status_code, (await response.aread()).decode()
            except httpx2.RemoteProtocolError as error:
                return response.status_code, repr(error.__cause__)

    assert (
        asyncio.run(main())
        == {
            "before": (500, "Internal Server Error"),
            "within": (200, "RuntimeError('the database is gone within')"),
            "after": (200, "data: 1\n\n"),
        }[moment]
    )


@pytest.mark.parametrize("moment", ["before", "within"])
@pytest.mark.parametrize("error", [httpx2.ConnectError("no upstream"), StreamTruncated("no upstream")], ids=repr)
def test_an_upstreams_error_is_not_taken_for_the_networks(error: Exception, moment: str) -> None:
    """What an application raises that is a client itself is the cause of an error that no client takes for its own."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if moment == "within":
            await send(START)
        raise error

    async def main() -> None:
        async with get(proxy) as response:
            await response.aread()

    with pytest.raises(AppFailedError, match="no upstream") as caught:
        asyncio.run(main())
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("moment", ["request", "close"])
def test_all_errors_are_told(moment: str) -> None:
    """Those that came after their clients had left: the first is raised, and has the others as notes."""

    async def failing_late(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"data: 1\n\n"))
        await _gone(receive)
        raise RuntimeError(scope["path"])

    async def main() -> None:
        async with httpx2.AsyncClient(transport=StreamingASGITransport(failing_late)) as client:
            for path in "ab":
                async with client.stream("GET", f"http://testserver/{path}") as response:
                    await anext(response.aiter_raw())
            if moment == "request":
                await asyncio.sleep(1)
                await client.get("http://testserver/c")

    with pytest.raises(RuntimeError, match="/a") as caught:
        run_with_virtual_clock(main())
    assert caught.value.__notes__ == ["another application: RuntimeError('/b')"]


def test_an_application_that_starts_nothing_is_a_500() -> None:
    """As servers answer for one that returns without a response."""

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async def main() -> int:
        async with get(nothing) as response:
            status: int = response.status_code
            return status

    assert asyncio.run(main()) == 500


def test_an_application_that_does_not_end_is_told_at_the_close() -> None:
    """The error says where it stands, and its task is cancelled."""
    tasks = list[asyncio.Task[Any] | None]()

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.current_task())
        await send(START)
        await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(AppStillRunningError, match=r"within 5 s; .*deaf .*Event\.wait"):
            async with get(deaf):
                pass
        assert [task is not None and task.cancelled() for task in tasks] == [True]

    run_with_virtual_clock(main())


def test_a_client_closed_without_a_context_is_told_as_well() -> None:
    """`aclose()` raises what nobody was told yet, and once."""

    async def main() -> None:
        client = httpx2.AsyncClient(transport=StreamingASGITransport(failing("after")))
        assert (await client.get("http://testserver/")).content == b"data: 1\n\n"
        with pytest.raises(RuntimeError, match="after"):
            await client.aclose()
        await client.aclose()

    asyncio.run(main())


def test_a_read_does_not_outlive_its_response() -> None:
    """One that waits in another task while the response is closed ends with an error, as on a closed socket."""

    async def main() -> None:
        async with get(waiting) as response:
            reading = asyncio.ensure_future(anext(response.aiter_raw()))
            await asyncio.sleep(1)
            await response.aclose()
            with pytest.raises(httpx2.ReadError, match="closed"):
                await reading

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await _gone(receive)

    run_with_virtual_clock(main())


def test_the_tests_own_failure_comes_first() -> None:
    """What becomes of the application meanwhile is a note to it."""

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await asyncio.Event().wait()

    async def main() -> None:
        async with get(deaf):
            raise AssertionError("not as expected")

    with pytest.raises(AssertionError, match="not as expected") as caught:
        run_with_virtual_clock(main())
    assert "did not end" in caught.value.__notes__[0]


def test_a_head_has_no_body() -> None:
    """Whatever the application sends."""

    async def main() -> bytes:
        async with httpx2.AsyncClient(transport=StreamingASGITransport(endless)) as client:
            return (await client.head("http://testserver/")).content

    assert asyncio.run(main()) == b""


@pytest.mark.parametrize("moment", ["before", "within"])
def test_a_request_that_is_given_up_is_left(moment: str) -> None:
    """Cancelling the request or the read lets the application see the disconnect."""
    gone = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if moment == "within":
            await send(START)
        await _gone(receive)
        gone.append(moment)

    async def main() -> None:
        async with httpx2.AsyncClient(transport=StreamingASGITransport(app), timeout=None) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await client.get("http://testserver/")

    run_with_virtual_clock(main())
    assert gone == [moment]


def test_the_class_needs_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error names the extra; the rest of the package does without."""
    import sys

    import unbroken.testing
    from unbroken.errors import MissingExtraError

    for name in ("asgi_transport", "httpx_family", "recorded_transport"):
        monkeypatch.delitem(sys.modules, f"unbroken.testing.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    wanted: list[Callable[[], object]] = [
        lambda: unbroken.testing.StreamingASGITransport,
        unbroken.testing.RecordedStream(b"").transport,
    ]

    for want in wanted:
        with pytest.raises(MissingExtraError, match=r"unbroken\[client\]"):
            want()
