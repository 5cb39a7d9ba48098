"""What passes an `EventStreamGuard`, what it takes for a stream, and how it stands among others."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.stream.guarding import END, START, App, Guarded, no_other_tasks, piece, read, sending
from unbroken import ClientDisconnected, CloseReason, EventSourceResponse, EventStreamGuard
from unbroken.errors import ConfigurationError
from unbroken.observe import Cleanup, StreamRecord
from unbroken.stream.drain import drain
from unbroken.stream.limits import Limits
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock
from unbroken.wire import HEARTBEAT

fastapi = pytest.importorskip("fastapi")
fastapi_sse = pytest.importorskip("fastapi.sse")
sse_starlette = pytest.importorskip("sse_starlette")
compat = pytest.importorskip("unbroken.compat.sse_starlette")

HTTP = {"type": "http", "method": "GET", "path": "/", "headers": []}


class Pass(BaseHTTPMiddleware):
    """The middleware that `@app.middleware("http")` makes."""

    async def dispatch(self, request: Request, call_next: Any) -> Any:
        return await call_next(request)


# What passes.


def exchange(app: App, scope: dict[str, Any], *received: Any) -> list[Any]:
    """Return what an application sends, as it is given to the server, when it is sent these."""
    sent: list[Any] = []
    incoming = iter(received)

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        await app(scope, receive, send)

    asyncio.run(main())
    return sent


MESSAGES: list[dict[str, Any]] = [
    {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
    {"type": "http.response.debug", "info": {}},
    {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"Content-Type", b"application/json")],
        "trailers": True,
    },
    {"type": "http.response.push", "path": "/x", "headers": []},
    {"type": "http.response.body", "body": bytearray(b"{"), "more_body": True},
    {"type": "http.response.body", "body": b"}"},
    {"type": "http.response.pathsend", "path": "/x"},
    {"type": "http.response.trailers", "headers": [], "more_trailers": False},
]


def test_what_is_no_event_stream_passes_message_by_message() -> None:
    """The server gets the application's own objects: those of every extension too, and those the guard never saw."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in MESSAGES:
            await send(message)

    sent = exchange(EventStreamGuard(app), dict(HTTP))
    assert all(here is there for here, there in zip(sent, MESSAGES, strict=True))


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "http HEAD"])
def test_what_is_no_request_for_a_body_passes(kind: str) -> None:
    """Their scopes, messages and `send` are the server's own."""
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.extend([scope, send, await receive()])
        await send(START)

    async def send(message: Any) -> None:
        given.append(message)

    async def receive() -> Any:
        return {"type": "any"}

    scope = {"type": kind.split()[0], "method": kind[5:], "path": "/", "headers": [(b"accept", b"text/event-stream")]}
    asyncio.run(EventStreamGuard(app)(scope, receive, send))
    assert given[0] is scope
    assert given[1:] == [send, {"type": "any"}, START]
    assert "unbroken.guard" not in scope


def test_headers_that_can_be_read_only_once_are_read_only_once() -> None:
    """ASGI allows any iterable."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": iter(headers)})

    headers = [(b"content-type", b"text/plain"), (b"x", b"y")]
    assert exchange(EventStreamGuard(app), dict(HTTP))[0]["headers"] == headers
    headers[0] = (b"content-type", b"text/event-stream")
    sent = exchange(EventStreamGuard(app, start_grace=0), dict(HTTP), {"type": "http.disconnect"})
    assert sent[0]["headers"][:2] == headers


def test_everything_else_of_an_application_works(tmp_path: Path) -> None:
    """JSON, files with ranges, errors, websockets, lifespan and bodies of requests, through the frameworks' client."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        events.append("up")
        yield
        events.append("down")

    async def echo(request: Request) -> Response:
        return JSONResponse({"length": len(await request.body())})

    async def file(request: Request) -> Response:
        return FileResponse(tmp_path / "file")

    async def fails(request: Request) -> Response:
        raise KeyError("x")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    (tmp_path / "file").write_bytes(b"0123456789")
    routes = [Route("/echo", echo, methods=["POST"]), Route("/file", file), Route("/fails", fails)]
    app = Starlette(
        routes=[*routes, WebSocketRoute("/socket", socket)],
        middleware=[Middleware(EventStreamGuard)],
        lifespan=lifespan,
    )
    testclient = pytest.importorskip("starlette.testclient")
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        assert client.post("/echo", content=b"x" * 1_000_000).json() == {"length": 1_000_000}
        assert client.get("/file", headers={"range": "bytes=2-4"}).content == b"234"
        assert client.head("/file").headers["content-length"] == "10"
        assert client.get("/fails").status_code == 500
        with client.websocket_connect("/socket") as websocket:
            websocket.send_text("hello")
            assert websocket.receive_text() == "hello"
    assert events == ["up", "down"]


def test_a_request_that_is_no_stream_leaves_nothing_to_collect() -> None:
    """Its scope is freed at its end."""

    class Held:
        """What a request holds."""

    async def main() -> bool:
        scope = {**HTTP, "held": Held()}
        held = weakref.ref(scope["held"])
        async with open_stream(EventStreamGuard(JSONResponse({})), scope=scope) as stream:
            await stream.until_end()
            await stream.wait_closed()
        del stream, scope
        return held() is None

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_is_no_stream(status: int) -> None:
    """204 tells a browser to stay away; it has a content type from some libraries, and still no body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "status": status})
        await asyncio.sleep(1)
        await send(piece(b"", more_body=False))

    guarded = Guarded(app, retry=1000)
    stream = read(guarded)
    assert (stream.status, stream.received, stream.ended) == (status, b"", StreamEnd.COMPLETE)
    assert guarded.records == []


# What is corrected.


def test_a_stream_gets_the_headers_that_it_needs() -> None:
    """Whatever the library forgot or got wrong."""
    headers = {"Cache-Control": "no-cache", "Content-Length": "9", "Connection": "keep-alive", "X-Own": "y"}
    response = StreamingResponse(iter(["data: x\n\n"]), headers=headers, media_type="Text/Event-Stream")
    stream = read(EventStreamGuard(response))
    assert stream.headers == {
        "cache-control": "no-cache, no-transform",
        "connection": "keep-alive",
        "content-type": "Text/Event-Stream",
        "x-accel-buffering": "no",
        "x-own": "y",
    }
    again = StreamingResponse(iter([]), headers=headers, media_type="text/event-stream")
    assert "connection" not in read(EventStreamGuard(again), scope={"http_version": "2"}).headers


@pytest.mark.parametrize(("accept", "hidden"), [("text/event-stream", True), ("*/*", False)])
def test_the_encodings_of_a_request_for_a_stream_are_hidden(accept: str, hidden: bool) -> None:
    """A middleware inside has then no reason to compress what it should not; other requests keep theirs."""
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("accept-encoding" not in Request(scope).headers)
        await sending(b"data: x\n\n")(scope, receive, send)

    read(EventStreamGuard(app), headers={"accept": accept, "accept-encoding": "gzip"})
    assert seen == [hidden]


def test_a_compressed_stream_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is put into it, not even at its end, and a warning says why; it still ends and is on record."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*START["headers"], (b"content-encoding", b"gzip")]})  # type: ignore[misc]
        await asyncio.sleep(40)
        await send(piece(b"\x1f\x8b compressed"))
        await asyncio.sleep(3600)

    async def main() -> bytes:
        async with open_stream(guarded, timeout=1000) as stream:
            await stream.until_end()
            return stream.received

    guarded = Guarded(app, max_age=60, max_age_jitter=0, retry=1000)
    assert run_with_virtual_clock(main()) == b"\x1f\x8b compressed"
    silent = Guarded(app, max_age=20, max_age_jitter=0)
    assert read(silent).received == b""
    assert [guarded.record.reason, silent.record.reason] == [CloseReason.MAX_AGE] * 2
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_a_client_forges_no_line_where_a_stream_is_compressed(caplog: pytest.LogCaptureFixture) -> None:
    """The warning has its path escaped: servers decode a line end in it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [*START["headers"], (b"content-encoding", b"gzip")]})  # type: ignore[misc]
        await send(piece(b"\x1f\x8b compressed", more_body=False))

    async def crafted(scope: Any, receive: Any, send: Any) -> None:
        await EventStreamGuard(app)({**scope, "path": "/1\nERROR root: forged"}, receive, send)

    read(crafted)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith("the stream /1\\nERROR root: forged is compressed")


# The libraries that people have.


class Kind:
    """One way to stream, with a generator that notes its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended: list[str] = []

    async def items(self, preframed: bool) -> AsyncIterator[Any]:
        """Say one thing, and wait."""
        try:
            yield "data: x\n\n" if preframed else "x"
            await asyncio.sleep(3600)
        finally:
            self.ended.append("ended")

    def app(self) -> App:
        """Return the application."""
        match self.name:
            case "starlette":
                return StreamingResponse(self.items(True), media_type="text/event-stream")
            case "sse-starlette":
                return sse_starlette.EventSourceResponse(self.items(False))  # type: ignore[no-any-return]
            case "ours":
                return EventSourceResponse(self.items(False))
            case "compat":
                return compat.EventSourceResponse(self.items(False))  # type: ignore[no-any-return]
        api: Any = fastapi.FastAPI()

        @api.get("/", response_class=fastapi_sse.EventSourceResponse)  # type: ignore[untyped-decorator]
        async def endpoint() -> AsyncIterator[str]:
            async for item in self.items(False):
                yield item

        return api  # type: ignore[no-any-return]


KINDS = ["starlette", "sse-starlette", "fastapi", "ours", "compat"]
OURS = {"ours", "compat"}


@pytest.mark.parametrize("middleware", ["", "outside", "inside", "both"])
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("name", KINDS)
def test_a_client_s_leaving_ends_every_kind(
    name: str, spec_version: str, middleware: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its generator is ended, its record written, nothing raised, no task left: also within `BaseHTTPMiddleware`."""

    async def main() -> None:
        async with open_stream(app, spec_version=spec_version, timeout=1000) as stream:
            assert [event.data.strip('"') for event in await stream.events(1)] == ["x"]
            await stream.disconnect()
            await stream.wait_closed()
        await no_other_tasks()

    kind = Kind(name)
    guarded = Guarded(Pass(kind.app()) if middleware in ("inside", "both") else kind.app())
    app: Any = Pass(guarded) if middleware in ("outside", "both") else guarded
    with caplog.at_level(logging.INFO):
        run_with_virtual_clock(main())
    assert kind.ended == ["ended"]
    assert (guarded.record.reason, guarded.record.cleanup) == (CloseReason.CLIENT_CLOSED, Cleanup.FINISHED)
    assert (guarded.record.events, guarded.record.guarded) == (1, name not in OURS)
    assert guarded.cancelling == [0]
    assert [record.levelname for record in caplog.records if record.name == "unbroken"] == ["INFO"]


@pytest.mark.parametrize("middleware", ["", "outside", "inside"])
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("name", KINDS)
def test_a_drain_ends_every_kind_in_good_order(name: str, spec_version: str, middleware: str) -> None:
    """Their clients are told when to come back and why; the body is complete."""

    async def main() -> bytes:
        async with open_stream(app, spec_version=spec_version, timeout=1000) as stream:
            await stream.next_event()
            assert await drain() == 1
            await stream.until_end()
            await stream.wait_closed()
            assert stream.ended is StreamEnd.COMPLETE
            return stream.received

    kind = Kind(name)
    guarded = Guarded(Pass(kind.app()) if middleware == "inside" else kind.app())
    app: Any = Pass(guarded) if middleware == "outside" else guarded
    received = run_with_virtual_clock(main())
    assert received.endswith(END % b"shutdown")
    assert b"\nretry: " in received
    assert kind.ended == ["ended"]
    assert (guarded.record.reason, guarded.cancelling) == (CloseReason.SHUTDOWN, [0])


@pytest.mark.parametrize("name", KINDS)
def test_heartbeats_fill_the_silence_of_every_kind_once(name: str) -> None:
    """What protects itself is not wrapped twice: it has its own heartbeats, and one record."""

    async def main() -> int:
        async with open_stream(guarded, timeout=1000) as stream:
            await asyncio.sleep(31)
            return len(stream.comments)

    guarded = Guarded(Kind(name).app())
    assert run_with_virtual_clock(main()) == 2
    assert guarded.record.longest_silence == pytest.approx(15, abs=0.2)


@pytest.mark.parametrize("place", ["outside", "inside"])
def test_no_stream_is_compressed(place: str) -> None:
    """GZipMiddleware lets events through at once, whichever way round."""

    async def main() -> None:
        async with open_stream(app, headers={"accept-encoding": "gzip"}) as stream:
            assert "content-encoding" not in stream.headers
            assert (await stream.next_event()).data == "x"

    compressing = partial(GZipMiddleware, minimum_size=1)
    inner = Kind("starlette").app()
    app: Any = compressing(EventStreamGuard(inner)) if place == "outside" else EventStreamGuard(compressing(inner))
    asyncio.run(main())


# The request's body.


def request_parts(size: int, count: int) -> list[dict[str, Any]]:
    """Return the messages of a request's body."""
    more = [{"type": "http.request", "body": b"x" * size, "more_body": True} for _ in range(count)]
    return [*more, {"type": "http.request", "body": b"", "more_body": False}]


@pytest.mark.parametrize("when", ["before", "after the start", "between events"])
def test_the_request_s_body_reaches_the_application(when: str) -> None:
    """All of it, whenever it reads: a large body in many parts waits in the server until it is wanted."""
    parts = request_parts(20_000, 20)
    lengths: list[int] = []
    received = bytearray()
    most = [0]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if when == "before":
            lengths.append(len(await Request(scope, receive).body()))
        await send(START)
        if when == "between events":
            await send(piece(b"data: x\n\n"))
            await anyio.sleep(0.1)
        if when != "before":
            lengths.append(len(await Request(scope, receive).body()))
        await send(piece(b"data: y\n\n", more_body=False))

    async def receive() -> Any:
        if parts:
            most[0] = max(most[0], 20 - len(parts) - sum(lengths) // 20_000)
            return parts.pop(0)
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        received.extend(message.get("body", b""))

    guarded = Guarded(app)
    run_with_virtual_clock(guarded({**HTTP, "method": "POST"}, receive, send))
    assert lengths == [400_000]
    assert received.endswith(b"data: y\n\n")
    assert guarded.record.reason is CloseReason.COMPLETED


# Limits and policies.


def test_over_a_limit_the_answer_is_503_and_the_application_is_told() -> None:
    """Its `send` raises, its `receive` gives the disconnect; what it raises for that goes no further."""
    told: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0.1)
        try:
            await send(START)
        except OSError as exc:
            told.extend([getattr(exc, "reason", None), (await listening)["type"], (await receive())["type"]])
            raise
        await listening

    async def main() -> None:
        async with open_stream(guarded, timeout=1000) as first, open_stream(guarded, timeout=1000) as second:
            assert (first.status, second.status) == (200, 503)
            assert second.headers["retry-after"] == "5"
            await second.wait_closed()
            assert (second.ended, second.error) == (StreamEnd.COMPLETE, None)
            assert limits.open_streams() == 1
        assert limits.open_streams() == 0

    limits = Limits(total=1)
    guarded = Guarded(app, limits=limits, start_grace=0)
    run_with_virtual_clock(main())
    assert told == ["limit", "http.disconnect", "http.disconnect"]
    assert guarded.cancelling == [0, 0]


def test_a_refused_application_s_own_error_and_cancellation_are_raised() -> None:
    """Only what says that the stream is over is swallowed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
        except OSError:
            if scope["path"] == "/fails":
                raise KeyError("x") from None
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    async def main() -> None:
        async with open_stream(guarded), open_stream(guarded, "/fails", raise_app_errors=False) as failing:
            await failing.wait_closed()
            assert isinstance(failing.error, KeyError)
            async with open_stream(guarded) as waiting:
                await waiting.cancel()
                await waiting.wait_closed()
                assert waiting._app.cancelled()

    guarded = Guarded(app, limits=Limits(total=1), start_grace=0)
    run_with_virtual_clock(main())


def test_a_limit_s_key_that_fails_is_raised_and_counts_nothing() -> None:
    """What a key raises reaches the framework; the application has sent nothing yet, so it is a real error."""

    async def key(_: object) -> str:
        raise KeyError("x")

    limits = Limits(total=5, per_key=1, key=key)
    stream = read(EventStreamGuard(sending(b"data: x\n\n"), limits=limits))
    assert isinstance(stream.error, KeyError)
    assert not stream.has_started
    assert limits.open_streams() == 0


async def no(_: object) -> bool:
    """Revoke the right to read."""
    return False


@pytest.mark.parametrize("name", ["ours", "starlette"])
@pytest.mark.parametrize("guards", [1, 2])
def test_what_a_guard_wants_holds_for_streams_that_protect_themselves(name: str, guards: int) -> None:
    """Its limits count them, its `revalidate` ends them, its `on_close` has their record, each guard's once."""

    async def main() -> None:
        async with open_stream(app, timeout=1000) as stream, open_stream(app) as second:
            assert (stream.status, second.status) == (200, 503)
            assert [limits.open_streams() for limits in all_limits] == [1] * guards
            assert [event.event for event in await stream.until_end()][-1] == "stream-end"

    records: list[StreamRecord] = []
    all_limits = [Limits(total=1) for _ in range(guards)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        made = Kind(name).app()
        for limits in all_limits:
            made = EventStreamGuard(made, limits=limits, revalidate=no, revalidate_interval=30, on_close=records.append)
        await made(scope, receive, send)

    run_with_virtual_clock(main())
    assert [record.reason for record in records] == [CloseReason.REVOKED] * guards
    assert len({record.id for record in records}) == 1
    assert records[0].guarded is (name == "starlette")
    assert [limits.open_streams() for limits in all_limits] == [0] * guards


def test_of_nested_guards_the_innermost_guards() -> None:
    """One heartbeat, one record, its options."""
    inner: list[StreamRecord] = []
    outer: list[StreamRecord] = []
    app = EventStreamGuard(Kind("starlette").app(), heartbeat=10, on_close=inner.append)

    async def main() -> bytes:
        async with open_stream(EventStreamGuard(app, heartbeat=1, on_close=outer.append), timeout=1000) as stream:
            await asyncio.sleep(25)
            return stream.received

    assert run_with_virtual_clock(main()) == b"data: x\n\n" + HEARTBEAT * 2
    assert inner == outer
    assert len(inner) == 1


def test_a_scope_may_be_used_again() -> None:
    """A middleware that calls the application twice gets two streams, each under its guard alone."""
    limits = Limits(total=1)
    guarded = Guarded(sending(b"data: x\n\n"), limits=limits)

    async def twice(scope: Any, receive: Any, send: Any) -> None:
        async def nowhere(message: Any) -> None: ...

        await guarded(scope, receive, nowhere)
        assert scope.get("unbroken.guard") is None
        await guarded(scope, receive, send)

    assert read(twice).received == b"data: x\n\n"
    assert [record.reason for record in guarded.records] == [CloseReason.COMPLETED] * 2


def test_a_client_that_left_before_the_stream_is_gone() -> None:
    """An application that streams all the same is told by its first event, on servers that say it once only too."""
    told: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"
        await send(START)
        try:
            await send(piece(b"data: x\n\n"))
        except ClientDisconnected as exc:
            told.append(exc.reason)

    messages = [{"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        raise AssertionError(message)

    guarded = Guarded(app)
    run_with_virtual_clock(guarded(dict(HTTP), receive, send))
    assert told == [CloseReason.CLIENT_CLOSED]
    assert guarded.record.reason is CloseReason.CLIENT_CLOSED


@pytest.mark.parametrize(
    "options", [{"heartbeat": 0}, {"drain_retry": (2, 1)}, {"limits": 5}, {"on_close": "x"}, {"max_age": -1}]
)
def test_wrong_arguments_are_refused_at_once(options: Any) -> None:
    """When the application is put together, not when its first stream comes."""
    with pytest.raises(ConfigurationError):
        EventStreamGuard(sending(), **options)
