"""What happens when clients come back."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["ENDLESS_RECONNECT", "RESUME_IGNORED"]

RESUME_IGNORED: Final = Cause(
    id="resume-ignored",
    title="`Last-Event-ID` is ignored, or there are no ids",
    severity=Severity.HIGH,
    skill=Skill.ADVANCED,
    minutes=60,
    meaning="After each reconnection events are missing, or come twice. Nobody sees an error.",
    why=(
        "A browser that comes back sends the last `id` it has seen, in the header `Last-Event-ID`. A server that "
        "sends no ids gets no header. One that does not read it begins anew, or with what happens to be next."
    ),
    detect=(
        "No `id:` in the stream. Or the first event after `curl -N -H 'Last-Event-ID: 5' URL` is not the one after 5."
    ),
    fix=(
        'Publish to a `Hub("sqlite:///events.db")`, and return `hub.response(request, topic, …)`: it numbers and keeps '
        "the events, begins after the id that a client brings, and tells of a gap where that is gone. By hand: "
        "send `ServerSentEvent(…, id=…)`, keep the recent events, and begin after "
        '`request.headers["last-event-id"]`, as below. The id is text from a client.'
    ),
    workaround=(
        "The same with any library. Where nothing can be kept, send the whole state as the first event of each stream."
    ),
    prevention="A test that leaves after three events, comes back with the last id, and expects the fourth.",
    versions="All. sse-starlette, fastapi.sse and Starlette read no `Last-Event-ID`.",
    sources=(
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header",
        "ggml-org/llama.cpp#21754",
        "open-webui/open-webui#29596",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent

LINES = [f"line {number}" for number in range(10)]


async def events():
    for number, line in enumerate(LINES):
        yield ServerSentEvent(line, id=str(number))
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent

LINES = [f"line {number}" for number in range(10)]


async def events(after):
    for number, line in enumerate(LINES):
        if number > after:
            yield ServerSentEvent(line, id=str(number))
            await asyncio.sleep(1)


async def stream(request):
    last = request.headers.get("last-event-id", "")
    return EventSourceResponse(events(int(last) if last in map(str, range(len(LINES))) else -1))


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

ENDLESS_RECONNECT: Final = Cause(
    id="endless-reconnect",
    title="The client reconnects for ever after the end",
    severity=Severity.MEDIUM,
    skill=Skill.INTERMEDIATE,
    minutes=20,
    meaning=(
        "A report or an answer that is finished is sent again every few seconds, for as long as the page is "
        "open. Costs and logs grow; a page shows everything twice."
    ),
    why=(
        "To `EventSource` the end of a body is a broken connection: it reconnects after `retry` milliseconds, 3 "
        "s or so by default. The standard has one answer that stops it: status 204."
    ),
    detect="The same request from the same client, again and again, each some seconds after the end of the one before.",
    fix=(
        "End with an event that says so, which the page takes as its sign to call `close()`. Answer a request "
        "whose `Last-Event-ID` is that of the last event with 204, as below."
    ),
    workaround="The same with any library. Or use `fetch` in the client, which does not reconnect.",
    prevention="Decide for each stream whether it has an end, and test what a client does after it.",
    versions="All browsers, and clients that follow the standard. Some reconnect even after a 204: sseclient 0.0.27.",
    sources=(
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#server-sent-events-intro",
        "rwf2/Rocket#2665",
    ),
    broken=Code(
        """\
from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events():
    for percent in (50, 100):
        yield str(percent)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent


async def events():
    for percent in (50, 100):
        yield ServerSentEvent(percent)
    yield ServerSentEvent("", event="done", id="done")


async def stream(request):
    if request.headers.get("last-event-id") == "done":
        return Response(status_code=204)
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)
