"""Streams that fail, and answers that hide it."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["IMPORT_DOES_NOT_EXIST", "MIDDLEWARE_BREAKS_STREAM", "PRODUCER_FAILED", "STATUS_AFTER_START"]

PRODUCER_FAILED: Final = Cause(
    id="producer-failed",
    title="The producer failed in the middle of the stream",
    severity=Severity.HIGH,
    skill=Skill.INTERMEDIATE,
    minutes=20,
    meaning=(
        "The client has a status of 200 and half of the answer. It cannot tell a stream that failed from one "
        "that is finished, and `EventSource` reconnects and begins anew."
    ),
    why=(
        "The status was sent long before the exception. HTTP has no second one; all that is left is a body that "
        "is not complete. Some combinations do not even leave that: fastapi.sse ends with a complete body on "
        "most servers, and loses the event before the exception. On daphne, and with HTTP/2 on hypercorn, the "
        "stream stays open for ever."
    ),
    detect=(
        "`Exception in ASGI application` in the log while a stream was open. Clients log `peer closed connection "
        "without sending complete message body`, `ERR_INCOMPLETE_CHUNKED_ENCODING` or `RemoteProtocolError`; "
        "nginx `upstream prematurely closed connection`."
    ),
    fix=(
        "`unbroken.EventSourceResponse` sends every event that was yielded before the exception, then an event "
        "`stream-error` without internals, and leaves the body visibly incomplete. The exception is raised to "
        "the framework once. Listen for `stream-error` in the client."
    ),
    workaround=(
        "Catch the exception in the generator, yield an event such as `error`, and return. Have clients take a "
        "stream for complete only after a last event of your own, such as `done`."
    ),
    prevention="Exactly one terminal event in each stream: `done` or an error. A test whose producer raises.",
    versions="All. Lost events: fastapi.sse to 0.165.",
    sources=(
        "fastapi/fastapi#15917",
        "BerriAI/litellm#39748",
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model",
    ),
    broken=Code(
        """\
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    yield "data: the first half\\n\\n"
    raise RuntimeError("the database is gone")


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events():
    yield "the first half"
    raise RuntimeError("the database is gone")


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

STATUS_AFTER_START: Final = Cause(
    id="status-after-start",
    title="An `HTTPException` in the generator comes too late",
    severity=Severity.MEDIUM,
    skill=Skill.INTERMEDIATE,
    minutes=15,
    meaning=(
        "What was to be a 403 or 404 is a 200 with an empty or broken body. The log has `Caught handled "
        "exception, but response already started`."
    ),
    why=(
        "`StreamingResponse`, sse-starlette and fastapi.sse send status and headers before the generator runs "
        "its first line. An exception in it can no longer change them."
    ),
    detect=(
        "`raise HTTPException` inside a generator. `curl -i` shows 200 and an incomplete body (exit code 18) "
        "where an error is due."
    ),
    fix=(
        "`unbroken.EventSourceResponse` holds the headers back until the first event, or for `start_grace` (0.5 "
        "s): what is raised before is a real response with its status. Checks that take longer belong before the "
        "response, in the endpoint or a dependency."
    ),
    workaround=(
        "Check before you return the response, in the endpoint. After the first event, yield an event that tells "
        "of the error."
    ),
    prevention="A test that asserts the status of a request that must be refused.",
    versions="Starlette and FastAPI, all versions; fastapi.sse to 0.165; sse-starlette to 3.7.",
    sources=(
        "fastapi/fastapi#15917",
        "https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event",
    ),
    broken=Code(
        """\
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events(job):
    if job != "1":
        raise HTTPException(404, "there is no such job")
    yield "data: started\\n\\n"


async def stream(request):
    job = request.query_params.get("job")
    return StreamingResponse(events(job), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events(job):
    if job != "1":
        raise HTTPException(404, "there is no such job")
    yield "started"


async def stream(request):
    return EventSourceResponse(events(request.query_params.get("job")))


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

MIDDLEWARE_BREAKS_STREAM: Final = Cause(
    id="middleware-breaks-stream",
    title="A middleware breaks the stream",
    severity=Severity.MEDIUM,
    skill=Skill.INTERMEDIATE,
    minutes=30,
    meaning=(
        "Behind the middleware a stream that failed looks complete, generators are closed late, or events arrive "
        "all at the end."
    ),
    why=(
        '`@app.middleware("http")` and `BaseHTTPMiddleware` put a queue and a task between application and '
        "server. They end the body properly even after an error, and hide the server's connection. Middlewares "
        "that read the whole body (signatures, logging, caching) wait for an end that does not come."
    ),
    detect=(
        "The same endpoint behaves without the middleware. In the source: `BaseHTTPMiddleware`, "
        '`@app.middleware("http")`, or a loop over `response.body_iterator`.'
    ),
    fix=(
        "Write the middleware as a plain ASGI class, as below. Where it must stay, "
        "`unbroken.EventSourceResponse` still ends its generator in time, and sends `stream-error`, which tells "
        "what the body cannot. Add `EventStreamGuard` last, so that it is outermost."
    ),
    workaround=(
        "Leave the streaming routes out of the middleware: mount them in an application of their own, or pass "
        "them through by their path."
    ),
    prevention=(
        "No `BaseHTTPMiddleware` around streams. A test in which the producer raises: the body must not be complete."
    ),
    versions="Starlette to 1.10, FastAPI to 0.165. Before Starlette 0.15 it also kept the disconnect for itself.",
    sources=(
        "https://www.starlette.io/middleware/#limitations",
        "Kludex/starlette#2516",
        "modelcontextprotocol/python-sdk#883",
    ),
    broken=Code(
        """\
from fastapi import FastAPI
from starlette.responses import StreamingResponse

app = FastAPI()


@app.middleware("http")
async def name_the_server(request, call_next):
    response = await call_next(request)
    response.headers["x-server"] = "one"
    return response


async def events():
    yield "data: the first half\\n\\n"
    raise RuntimeError("the database is gone")


@app.get("/stream")
async def stream():
    return StreamingResponse(events(), media_type="text/event-stream")
"""
    ),
    fixed=Code(
        """\
from fastapi import FastAPI

from unbroken import EventSourceResponse


class NameTheServer:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def named(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-server", b"one")]
            await send(message)

        await self.app(scope, receive, named)


app = FastAPI()
app.add_middleware(NameTheServer)


async def events():
    yield "the first half"
    raise RuntimeError("the database is gone")


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())
"""
    ),
)

IMPORT_DOES_NOT_EXIST: Final = Cause(
    id="import-does-not-exist",
    title="The import does not exist",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "The application does not start: `ImportError: cannot import name 'EventSourceResponse' from "
        "'starlette.responses'`."
    ),
    why=(
        "Starlette has never had an `EventSourceResponse`. Pages and language models recommend the import all "
        "the same. The name lives in `sse_starlette`, and from FastAPI 0.135 on in `fastapi.sse`, where it means "
        "something else."
    ),
    detect="The `ImportError`, or `ModuleNotFoundError: No module named 'fastapi.sse'` on an older FastAPI.",
    fix=(
        "`from unbroken.compat.starlette import EventSourceResponse` takes text that is framed already, as such "
        "pages show it; `from unbroken import EventSourceResponse` frames it for you."
    ),
    workaround=(
        "`pip install sse-starlette` and `from sse_starlette import EventSourceResponse`; then yield data, not "
        'frames. Or `StreamingResponse(…, media_type="text/event-stream")`.'
    ),
    prevention="A type checker, or one test that imports the application.",
    versions=(
        "Every Starlette (tried: 0.14 to 1.10). `fastapi.sse` is there from FastAPI 0.135.0 on; sse-starlette to "
        "0.9 has it in `sse_starlette.sse` only."
    ),
    sources=(
        "https://www.starlette.io/responses/",
        "https://github.com/sysid/sse-starlette",
    ),
    broken=Code(
        """\
from starlette.applications import Starlette
from starlette.responses import EventSourceResponse
from starlette.routing import Route


async def events():
    yield "data: hello\\n\\n"


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
from starlette.applications import Starlette
from starlette.routing import Route

from unbroken.compat.starlette import EventSourceResponse


async def events():
    yield "data: hello\\n\\n"


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)
