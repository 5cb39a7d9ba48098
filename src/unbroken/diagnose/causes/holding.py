"""What streams hold, and what holds streams together."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["DEPENDENCY_HELD", "UNBOUNDED_QUEUE", "WORKERS_WITHOUT_SHARED_LOG"]

DEPENDENCY_HELD: Final = Cause(
    id="dependency-held",
    title="A dependency is held as long as the stream lasts",
    severity=Severity.HIGH,
    skill=Skill.INTERMEDIATE,
    minutes=20,
    meaning=(
        "Each open stream keeps a database connection. With as many visitors as the pool has connections, the "
        "whole application stands still: `QueuePool limit of size 5 overflow 10 reached, connection timed out`."
    ),
    why=(
        "FastAPI closes a dependency with `yield` after the response has been sent. A stream's response is sent "
        "when the stream ends, hours later."
    ),
    detect=(
        "Connections that are `idle in transaction`, as many as there are streams. In the source: "
        "`Depends(get_db)` on an endpoint that streams."
    ),
    fix=(
        'Read what the stream needs before it begins, and let the dependency go: `Depends(…, scope="function")` '
        "closes it when the endpoint returns. In the generator, open a session for each question and close it "
        "before the next `yield`. unbroken cannot tell what a generator holds; `Limits(total=…)` bounds how many "
        "there are."
    ),
    workaround="The same. A larger pool only moves the limit.",
    prevention=(
        'No dependency with `yield` on a streaming endpoint without `scope="function"`. A test that counts open '
        "sessions while a stream is open."
    ),
    versions='FastAPI, all versions with `yield` dependencies; `scope="function"` from 0.121 on.',
    sources=(
        "https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/",
        "wrzonance/WrzDJ#356",
        "aegra/aegra#423",
    ),
    broken=Code(
        """\
import asyncio

from fastapi import Depends, FastAPI
from starlette.responses import StreamingResponse

app = FastAPI()
sessions = set()


async def open_session():
    sessions.add("session")
    try:
        yield "session"
    finally:
        sessions.discard("session")


@app.get("/stream")
async def stream(session=Depends(open_session)):
    async def events():
        while True:
            yield "data: a row\\n\\n"
            await asyncio.sleep(1)

    return StreamingResponse(events(), media_type="text/event-stream")
"""
    ),
    fixed=Code(
        """\
import asyncio

from fastapi import Depends, FastAPI

from unbroken import EventSourceResponse

app = FastAPI()
sessions = set()


async def open_session():
    sessions.add("session")
    try:
        yield "session"
    finally:
        sessions.discard("session")


@app.get("/stream")
async def stream(session=Depends(open_session, scope="function")):
    rows = ["a row"]  # read while the session is open

    async def events():
        while True:
            yield rows[0]
            await asyncio.sleep(1)

    return EventSourceResponse(events())
"""
    ),
)

UNBOUNDED_QUEUE: Final = Cause(
    id="unbounded-queue",
    title="A queue for each client grows without a bound",
    severity=Severity.CRITICAL,
    skill=Skill.INTERMEDIATE,
    minutes=30,
    meaning=(
        "One client that reads slowly or sleeps makes the server keep everything that it has not read. The "
        "process grows until the kernel kills it, and all streams with it."
    ),
    why=(
        "`asyncio.Queue()` has no bound, and a publisher that uses `put_nowait` never waits. The stream of a "
        "client that does not read takes nothing out."
    ),
    detect=(
        "Memory that grows with time and not with load. In the source: `asyncio.Queue()` or `deque()` without a "
        "size, one for each subscriber, or a subscriber that no `finally` removes."
    ),
    fix=(
        "Give the queue a `maxsize` and decide what happens at the limit, visibly: below, a client that is "
        "behind gets what it has, an event that says so, and its end. `EventSourceResponse`'s `send_timeout` "
        "ends the one that does not read at all."
    ),
    workaround=(
        "The same bound with any response. Where only the newest value counts, keep that one instead of a queue."
    ),
    prevention="Every queue has a size, and a test that fills it with a frozen client.",
    versions="All. encode/broadcaster 0.3 has an unbounded queue for each subscriber.",
    sources=(
        "https://docs.python.org/3/library/asyncio-queue.html",
        "anomalyco/opencode#16697",
        "IBM/mcp-context-forge#1682",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

subscribers = set()


def publish(message):
    for queue in subscribers:
        queue.put_nowait(message)


async def events():
    queue = asyncio.Queue()
    subscribers.add(queue)
    try:
        while True:
            yield f"data: {await queue.get()}\\n\\n"
    finally:
        subscribers.discard(queue)


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

from unbroken import EventSourceResponse, ServerSentEvent

subscribers = set()


def publish(message):
    for queue in list(subscribers):
        if queue.full():
            subscribers.discard(queue)
        else:
            queue.put_nowait(message)


async def events():
    queue = asyncio.Queue(maxsize=100)
    subscribers.add(queue)
    try:
        while queue in subscribers or not queue.empty():
            yield await queue.get()
        yield ServerSentEvent("messages were left out", event="behind")
    finally:
        subscribers.discard(queue)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

WORKERS_WITHOUT_SHARED_LOG: Final = Cause(
    id="workers-without-shared-log",
    title="Several workers, and events that stay in one of them",
    severity=Severity.HIGH,
    skill=Skill.ADVANCED,
    minutes=120,
    meaning=(
        "Some clients get an event and others do not, at random. With one worker all is well. After a "
        "reconnection a client hears nothing of what it heard before."
    ),
    why=(
        "Each worker process has its own memory. A set of subscribers, a queue or a list of past events in a "
        "module exists once for each of them, and a request to publish reaches only one."
    ),
    detect=(
        "The share of lost events grows with the number of workers. In the source: module-level subscribers, and "
        "a server with several workers or several pods."
    ),
    fix=(
        'On one machine a `Hub("sqlite:///events.db")` is enough: `await hub.publish(topic, …)` in any worker '
        "reaches the streams of `hub.response(request, topic, …)` in all of them; on several machines it is "
        '`Hub("redis://…")`, `postgresql://` or `nats://`. By hand: keep events where all '
        "workers read, a table, Redis streams or a broker, and have each stream read from there, after the id that it "
        "has, as below. `ServerSentEvent(id=…)` carries the position."
    ),
    workaround="Run one worker. Or send all requests of one topic to the same worker, by a hash in the proxy.",
    prevention="Run the tests of publishing against two processes, and count.",
    versions=(
        "Every server with more than one process: uvicorn, gunicorn, granian and hypercorn with `--workers`, "
        "several containers."
    ),
    sources=(
        "sysid/sse-starlette#75",
        "fanout/django-eventstream#151",
        "benoitc/gunicorn#3069",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from unbroken import EventSourceResponse

subscribers = set()


async def publish(request):
    for queue in subscribers:
        queue.put_nowait("an event")
    return Response(status_code=202)


async def events():
    queue = asyncio.Queue(maxsize=100)
    subscribers.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        subscribers.discard(queue)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream), Route("/publish", publish, methods=["POST"])])
"""
    ),
    fixed=Code(
        """\
import asyncio
import os
import sqlite3
from contextlib import closing

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent

NEWER = "SELECT id, text FROM log WHERE id > CAST(? AS INTEGER) ORDER BY id LIMIT 100"


def ask(statement, *values):
    with closing(sqlite3.connect(os.environ.get("EVENTS_DB", "events.db"))) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, text TEXT)")
        return database.execute(statement, values).fetchall()


async def publish(request):
    await asyncio.to_thread(ask, "INSERT INTO log (text) VALUES (?)", "an event")
    return Response(status_code=202)


async def events(last):
    while True:
        for last, text in await asyncio.to_thread(ask, NEWER, last):
            yield ServerSentEvent(text, id=str(last))
        await asyncio.sleep(0.1)


async def stream(request):
    return EventSourceResponse(events(request.headers.get("last-event-id", "0")))


app = Starlette(routes=[Route("/stream", stream), Route("/publish", publish, methods=["POST"])])
"""
    ),
)
