"""Answers that are no proper event stream by their status line, headers or method."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["CONNECTION_HEADER", "HEAD_REQUEST", "MISSING_HEADERS", "NOT_AN_EVENT_STREAM"]

MISSING_HEADERS: Final = Cause(
    id="missing-headers",
    title="The headers that keep hops from buffering and caching are missing",
    severity=Severity.MEDIUM,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "The stream works here and not elsewhere: a cache answers with an old stream, a proxy collects the "
        "events, a compressor takes hold of them."
    ),
    why=(
        "A plain `StreamingResponse` sends its content type and nothing else. A hop may then cache, transform "
        "and buffer as with any response."
    ),
    detect=(
        "`curl -sN -D - -o /dev/null URL` shows no `Cache-Control` with `no-store` or `no-cache`, or no "
        "`X-Accel-Buffering: no`."
    ),
    fix=(
        "`unbroken.EventSourceResponse` sends `Cache-Control: no-store, no-transform` and `X-Accel-Buffering: "
        "no`. `app.add_middleware(EventStreamGuard)` adds them to the streams of every other library."
    ),
    workaround=(
        'Give them yourself: `headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}`.'
    ),
    prevention="One place for all streams: a response class, or the guard.",
    versions=(
        "Starlette's and FastAPI's `StreamingResponse`; `fastapi.sse.EventSourceResponse` returned from a normal "
        "route. A generator route of fastapi.sse and sse-starlette send them, without `no-transform`."
    ),
    sources=(
        "https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from unbroken import EventStreamGuard


async def events():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
app.add_middleware(EventStreamGuard)
"""
    ),
)

CONNECTION_HEADER: Final = Cause(
    id="connection-header",
    title="A `Connection` header on HTTP/2",
    severity=Severity.MEDIUM,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "Safari and other WebKit browsers drop the stream at once, or never open it, as soon as HTTP/2 is "
        "spoken. Other browsers work."
    ),
    why=(
        "`Connection: keep-alive` belongs to HTTP/1.1. HTTP/2 forbids it and calls such a response malformed. "
        "Many examples and libraries send it, sse-starlette among them."
    ),
    detect=(
        '`curl --http2 -sN -D - -o /dev/null URL` shows a `connection` header. In the source: `"Connection": '
        '"keep-alive"` in the headers of a stream.'
    ),
    fix=(
        "Leave it out. `unbroken.EventSourceResponse` and `unbroken.compat.sse_starlette` never send it. "
        "`EventStreamGuard` takes it from the streams of others on HTTP/2."
    ),
    workaround="Remove the header in the proxy that speaks HTTP/2, as nginx does by itself.",
    prevention="No `Connection`, `Keep-Alive` or `Transfer-Encoding` header in application code.",
    versions="HTTP/2 and HTTP/3 on any server. sse-starlette to 3.7 sends it.",
    sources=(
        "https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2",
        "bartblast/hologram#1262",
        "nestjs/nest#17588",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


async def stream(request):
    headers = {"Cache-Control": "no-cache", "Connection": "keep-alive"}
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events():
    while True:
        yield "tick"
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

NOT_AN_EVENT_STREAM: Final = Cause(
    id="not-an-event-stream",
    title="The answer is no event stream",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "`EventSource` fails at once and does not come back: it wants status 200 and `text/event-stream`. Its "
        "script sees an `error` event without a reason."
    ),
    why=(
        "`media_type` was forgotten. Or the answer comes from somebody else: a login page after a redirect, an "
        "error page of the framework or the proxy, the index page of a single-page application."
    ),
    detect=(
        "The browser's console says `EventSource's response has a MIME type (\"text/html\") that is not "
        '"text/event-stream"`. `curl -i` shows the status and the content type.'
    ),
    fix=(
        "Return `unbroken.EventSourceResponse`, which sets the type. Answer a request that may not read with 401 "
        "or 403 instead of a redirect to a page: raise `HTTPException` before the first `yield`, within "
        "`start_grace` (0.5 s)."
    ),
    workaround=(
        '`StreamingResponse(…, media_type="text/event-stream")`. In the browser, look at `readyState === '
        "EventSource.CLOSED` in the `error` handler and ask with `fetch` for the status."
    ),
    prevention="A test that asserts the status and the content type, with a session and without one.",
    versions="All. An event stream is always UTF-8, whatever `charset` says.",
    sources=(
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model",
        "Yaffle/EventSource#88",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


async def stream(request):
    return StreamingResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events():
    while True:
        yield "tick"
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

HEAD_REQUEST: Final = Cause(
    id="head-request",
    title="HEAD starts the stream and never ends",
    severity=Severity.MEDIUM,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "A monitor, a link checker or a CDN asks with HEAD, waits until it times out, and leaves a generator "
        "behind that works for nobody."
    ),
    why=(
        "Starlette's `Route` answers HEAD wherever it answers GET, with the same endpoint. `StreamingResponse` "
        "then runs its generator, and the server drops the body."
    ),
    detect="`curl -I URL` hangs. Streams in the record with no event and a method of HEAD.",
    fix=(
        "Return `unbroken.EventSourceResponse`: it answers HEAD with the headers alone, and never starts the generator."
    ),
    workaround=(
        'Answer HEAD before the stream: `if request.method == "HEAD": return Response(media_type="text/event-stream")`.'
    ),
    prevention='A test with `open_stream(app, path, method="HEAD")`.',
    versions=(
        "Starlette's `Route` with any `StreamingResponse`; FastAPI only where HEAD was asked for "
        '(`methods=["GET", "HEAD"]`): else it answers 405. sse-starlette 3.7 answers with the headers.'
    ),
    sources=(
        "https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2",
        "https://www.starlette.io/routing/",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

started = []


async def events():
    started.append("a generator")
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse

started = []


async def events():
    started.append("a generator")
    while True:
        yield "tick"
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)
