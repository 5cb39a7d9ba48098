"""What is wrong with the bytes of the stream."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["FIELD_INJECTION", "WRONG_FRAMING"]

FIELD_INJECTION: Final = Cause(
    id="field-injection",
    title="Text of a user forges fields and events",
    severity=Severity.CRITICAL,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "Who can put a line break into a message can send events of any type to everybody who reads: log others "
        "out, show them false numbers, or set their reconnection time."
    ),
    why=(
        'In an event stream a line break ends a field, and a blank line an event. An f-string such as `f"data: '
        '{text}\\n\\n"` writes what a user typed between them. `id` and `event` are as open, and a lone CR is a '
        "line break too."
    ),
    detect=(
        "A chat message with two line breaks shows up as two events. In the source: an f-string or `%` with a "
        "variable behind `data:`, `event:` or `id:`."
    ),
    fix=(
        "Yield the text itself, or `ServerSentEvent(text, event=…, id=…)`, from an "
        "`unbroken.EventSourceResponse`: data is sent line by line, and CR, LF or NUL in `id` or `event` raise "
        "`EncodeError` at the `yield`."
    ),
    workaround=(
        'JSON has no line breaks: `f"data: {json.dumps(text)}\\n\\n"`. Refuse CR, LF and NUL in `id` and `event`.'
    ),
    prevention='No hand-written frames. A test with `"\\n\\nevent: forged\\ndata: x"` as text.',
    versions=(
        "All hand-written frames. Measured: Litestar 2.25 (`event_id=`), datastar-py 1.0.3 and assel 1.0.0 let a "
        "line break in an id through; sse-starlette strips it; fastapi.sse refuses it."
    ),
    sources=(
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation",
        "https://cwe.mitre.org/data/definitions/93.html",
    ),
    broken=Code(
        """\
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events(text):
    yield f"event: chat\\ndata: {text}\\n\\n"


async def stream(request):
    text = request.query_params["text"]
    return StreamingResponse(events(text), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent


async def events(text):
    yield ServerSentEvent(text, event="chat")


async def stream(request):
    return EventSourceResponse(events(request.query_params["text"]))


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

WRONG_FRAMING: Final = Cause(
    id="wrong-framing",
    title="The events are framed wrongly",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning="The bytes arrive and the browser shows no event, or an event whose data begins with `data:` once more.",
    why=(
        "An event ends with a blank line: without the second `\\n` it is never dispatched. Field names are lower "
        "case, begin at the line's start and have a colon right behind. The other way round, a library that "
        "frames by itself is given text that is framed already: sse-starlette makes `data: data: Hello` of it, a "
        "fastapi.sse route a JSON string."
    ),
    detect=(
        '`curl -N URL` shows no blank lines, or `data: data:`, or `data: "data: …\\n\\n"`. The browser\'s network '
        "tab shows bytes and no messages."
    ),
    fix=(
        "Yield data and let `unbroken.EventSourceResponse` write the frames. Text that is framed already goes "
        "through `unbroken.compat.starlette.EventSourceResponse` or `preframed=True`; the main response warns of "
        "a `str` that looks like a frame."
    ),
    workaround=(
        'Write `f"data: {line}\\n\\n"` with `StreamingResponse`, and plain data with sse-starlette or fastapi.sse.'
    ),
    prevention=(
        "A test that reads the events with a decoder (`unbroken.testing.open_stream`), instead of comparing bytes."
    ),
    versions="All. An event without a `data` field dispatches nothing, by the standard.",
    sources=("https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation",),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    for number in range(3):
        yield f"data: {number}\\n"
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


async def events():
    for number in range(3):
        yield str(number)
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)
