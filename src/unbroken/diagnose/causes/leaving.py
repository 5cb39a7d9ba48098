"""What goes wrong when a client leaves."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["CLEANUP_NOT_RUN", "CLIENT_CLOSED", "EXCEPT_NEVER_FIRES", "WRITE_AFTER_CLOSE"]

CLIENT_CLOSED: Final = Cause(
    id="client-closed",
    title="The client closed the connection",
    severity=Severity.INFO,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "Somebody closed a tab, left a page, locked a phone or called `EventSource.close()`. That is how most "
        "streams end. Nothing is broken; only a traceback about it is too much."
    ),
    why=(
        "The browser sends FIN or RST, or resets the HTTP/2 stream. Within 10 ms every server of today answers "
        "the application's `receive()` with `http.disconnect`. A client that closes its sending side only "
        "(half-close) is treated in the same way by all of them."
    ),
    detect=(
        "The ends are spread over all durations, and no client complains. If many streams end at the same age or "
        "the same silence, a hop cut them: see idle-timeout and age-limit."
    ),
    fix=(
        "Nothing has to be mended. unbroken ends such a stream without a traceback and logs one INFO line with "
        "`client_closed`. For streams of other libraries, add `unbroken.observe.ClientLeavingFilter()` to the "
        "logger `uvicorn.error`: it makes one line of a traceback that only says that a client has left."
    ),
    workaround=(
        "Lower the level of such lines in your log or error tracker, by their logger. Do not silence all errors."
    ),
    prevention=(
        "Count the ends by their reason (`on_close`, or an observer), and look at the rate instead of the lines."
    ),
    versions="All servers, all versions.",
    sources=(
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#dom-eventsource-close",
        "https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event",
        "modelcontextprotocol/python-sdk#1947",
    ),
)

WRITE_AFTER_CLOSE: Final = Cause(
    id="write-after-close",
    title="The server goes on writing to a client that has gone",
    severity=Severity.HIGH,
    skill=Skill.INTERMEDIATE,
    minutes=20,
    meaning=(
        "The client has left, and its stream still works: it asks databases and models, and sends what nobody "
        "reads. Each such stream stays until the process ends."
    ),
    why=(
        "On uvicorn, hypercorn, granian and daphne `send()` returns normally after the client has left and drops "
        "what it is given. Only `receive()` tells of it. Code that only writes never asks. asyncio itself logs "
        "`socket.send() raised exception.` after about five lost writes, and at each further one."
    ),
    detect=(
        "`socket.send() raised exception.` in the log; tasks or open database connections that grow with the "
        "number of visits. `Cannot write to closing transport` is aiohttp's text: look at an aiohttp server or "
        "client."
    ),
    fix=(
        "Return `unbroken.EventSourceResponse(generator())`: it listens on `receive()` and raises "
        "`ClientDisconnected` in the generator. Code that writes ASGI messages itself gets the same by "
        "`EventStreamGuard(app)`: its next `send` raises `ClientDisconnected`."
    ),
    workaround=(
        "Wait for `http.disconnect` in a second task and cancel the writer then. In a Starlette endpoint, ask "
        "`await request.is_disconnected()` before each piece of work."
    ),
    prevention=(
        "A test with `unbroken.testing.open_stream`: leaving it fails with `AppStillRunningError` when the "
        "application goes on."
    ),
    versions=(
        "uvicorn (0.28.0 alone raised; 0.28.1 took it back), hypercorn, granian, daphne. ASGI 2.4 asks for an "
        "`OSError` from `send`; no server of 2026-11 does so."
    ),
    sources=("Kludex/uvicorn#2271", "Kludex/uvicorn#3085", "emmett-framework/granian#650", "django/asgiref#578"),
    broken=Code(
        """\
import asyncio


async def app(scope, receive, send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b"data: tick\\n\\n", "more_body": True})
        await asyncio.sleep(1)
"""
    ),
    fixed=Code(
        """\
import asyncio

from unbroken import EventStreamGuard


async def ticks(scope, receive, send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b"data: tick\\n\\n", "more_body": True})
        await asyncio.sleep(1)


app = EventStreamGuard(ticks)  # send raises ClientDisconnected, and the loop ends
"""
    ),
)

EXCEPT_NEVER_FIRES: Final = Cause(
    id="except-never-fires",
    title="`except ConnectionResetError` never fires",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "The code that was to run when a client leaves does not run: no cleanup, no log line, no count. It looks "
        "right, and many pages recommend it."
    ),
    why=(
        "No server of today raises anything out of `send()`, and no framework throws an exception into a "
        "generator. The generator is cancelled at an `await` (`CancelledError`), or left at its `yield` until "
        "the garbage collector closes it (`GeneratorExit`). In 15,600 measured events on four servers, "
        "`ConnectionResetError` came not once."
    ),
    detect=(
        "An `except ConnectionResetError`, `BrokenPipeError` or `OSError` around a `yield`, whose line is never logged."
    ),
    fix=(
        "Return the same generator by `unbroken.EventSourceResponse`, or `unbroken.compat.starlette` if it "
        "writes frames itself. At the `yield` it gets `ClientDisconnected`, which is a `ConnectionResetError`. "
        "Put `async with while_connected():` around the loop to have it at an `await` as well."
    ),
    workaround=(
        "Use `finally` for cleanup that does not await. `asyncio.CancelledError` tells of a leaving at an `await`."
    ),
    prevention="Test the leaving: open the stream, read an event, disconnect, and assert what the code did.",
    versions=(
        "Starlette 0.14 to 1.10, FastAPI 0.65 to 0.165, sse-starlette to 3.7, on uvicorn, hypercorn, granian, "
        "daphne. On aiohttp the write does raise."
    ),
    sources=("Kludex/uvicorn#2220", "django/asgiref#578", "fastapi/fastapi#1342"),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

left = []


async def events():
    try:
        while True:
            yield "data: tick\\n\\n"
            await asyncio.sleep(1)
    except ConnectionResetError as error:
        left.append(error)


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

from unbroken import EventSourceResponse, while_connected

left = []


async def events():
    try:
        async with while_connected():
            while True:
                yield "tick"
                await asyncio.sleep(1)
    except ConnectionResetError as error:
        left.append(error)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

CLEANUP_NOT_RUN: Final = Cause(
    id="cleanup-not-run",
    title="The generator's cleanup did not run, or was cut off",
    severity=Severity.HIGH,
    skill=Skill.INTERMEDIATE,
    minutes=20,
    meaning=(
        "Connections, subscriptions and locks that a stream holds are not given back when its client leaves. The "
        "server works for hours, and then a pool is empty."
    ),
    why=(
        "Starlette and sse-starlette cancel through an anyio scope, which cancels every further `await` too: "
        "`finally: await connection.close()` is cut off at that `await`. A generator that stands at a `yield` is "
        "closed by the garbage collector, later and in another task. At a shutdown with a time limit it may not "
        "run at all."
    ),
    detect=(
        "`finally` or `__aexit__` with an `await`, in a generator of a `StreamingResponse`; pools that run "
        "empty; subscribers that grow; `aclose(): asynchronous generator is already running`."
    ),
    fix=(
        "Return the generator by `unbroken.EventSourceResponse`. It is cancelled once, its cleanup may await, "
        "and has `cleanup_timeout` (10 s). How far it came stands in the record: `finished`, `failed`, "
        "`cancelled`, `abandoned`."
    ),
    workaround=(
        "Shield what must be awaited: `with anyio.CancelScope(shield=True):` inside `finally`, with a time "
        "limit. It does not help a generator that is left at its `yield`."
    ),
    prevention=(
        "A test that leaves the stream and asserts that what it held was given back, under pytest with warnings "
        "as errors."
    ),
    versions=(
        "Starlette from 0.15 (anyio) to 1.10, FastAPI with it, sse-starlette to 3.7 (its `aclose()` is shielded; "
        "a cancelled `await` is not). Starlette 0.14 cancelled once."
    ),
    sources=(
        "https://anyio.readthedocs.io/en/stable/cancellation.html",
        "sysid/sse-starlette#156",
        "modelcontextprotocol/python-sdk#521",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

connections = set()


async def events():
    connections.add("db")
    try:
        while True:
            yield "data: tick\\n\\n"
            await asyncio.sleep(1)
    finally:
        await asyncio.sleep(0.1)  # as the closing of a connection
        connections.discard("db")


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

connections = set()


async def events():
    connections.add("db")
    try:
        while True:
            yield "tick"
            await asyncio.sleep(1)
    finally:
        await asyncio.sleep(0.1)  # as the closing of a connection
        connections.discard("db")


async def stream(request):
    return EventSourceResponse(events(), cleanup_timeout=10)


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)
