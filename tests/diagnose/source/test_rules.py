"""Cases of single rules that are too small for a source of the corpus."""

from __future__ import annotations

import pytest

from unbroken.diagnose import find_cause
from unbroken.diagnose.source import check_text
from unbroken.diagnose.source.rules import RULES

FRAME = """\
import json, time, uuid
from datetime import datetime
from starlette.responses import StreamingResponse

async def events(text, count: int, when: datetime, job):
    for index, item in enumerate(job):
        yield {frame}

def endpoint(request):
    headers = {{"Cache-Control": "no-store", "X-Accel-Buffering": "no"}}
    return StreamingResponse(events(request.text, 1, 2, []), media_type="text/event-stream", headers=headers)
"""
WAIT = """\
import asyncio
from starlette.responses import StreamingResponse
INTERVAL = 5 * 60

async def events(queue, seconds):
    for _ in range(3):
        yield "data: 1\\n\\n"
        {wait}

def endpoint(request):
    headers = {{"Cache-Control": "no-store", "X-Accel-Buffering": "no"}}
    return StreamingResponse(events(request.queue, 1), media_type="text/event-stream", headers=headers)
"""
LOOP = """\
import asyncio
from sse_starlette import EventSourceResponse

async def events(queue, request):
{body}

def endpoint(request):
    return EventSourceResponse(events(request.queue, request))
"""


def codes(text: str) -> list[str]:
    """Return the codes of what is found in `text`."""
    return [finding.code for finding in check_text(text)]


@pytest.mark.parametrize(
    "frame",
    [
        r'f"data: {index}\n\n"',
        r'f"data: {count + 1} of {len(job)}\n\n"',
        r'f"data: {json.dumps(item)}\n\n"',
        r'f"data: {item!r}\n\n"',
        r'f"data: {item:.2f}\n\n"',
        r'f"id: {uuid.uuid4()}\ndata: {when}\n\n"',
        r'f"data: {text.replace(chr(10), chr(32)) and 1}\n\n"',
        r'"data: %d\n\n" % index',
        r'"data: {}\n\n".format(time.time())',
        r'"data: " + str(index) + "\n\n"',
        r'f"data: {datetime.now().isoformat()}\n\n".encode()',
        r'f"data: {item["id"]} {item.status}\n\n"',
        r'f"data: {text.splitlines()[0] if False else 1}\n\n"',
        r'b"data: 1\n\n"',
    ],
)
def test_values_of_one_line_may_stand_in_a_frame(frame: str) -> None:
    """No alarm for numbers, JSON, representations, formats, ids and times."""
    if "replace" in frame or "splitlines" in frame:
        frame = frame.replace("text.replace(chr(10), chr(32)) and 1", r"text.replace('\n', ' ')").replace(
            "text.splitlines()[0] if False else 1", "1 if text else 0"
        )
    assert codes(FRAME.format(frame=frame)) == []


@pytest.mark.parametrize(
    "frame",
    [
        r'f"data: {item}\n\n"',
        r'f"data: {item.text}\n\n"',
        r'f"data: {text.strip()}\n\n"',
        r'f"data: {item:>10}\n\n"',
        r'f"data: {json.dumps(item, indent=2)}\n\n"',
        r'"data: %s\n\n" % text',
        r'"data: {}\n\n".format(text)',
        r'"data: " + text + "\n\n"',
        r'f"event: {text}\ndata: 1\n\n"',
        r'f"data: {text}\n\n".encode("utf-8")',
    ],
)
def test_values_that_may_have_several_lines_may_not(frame: str) -> None:
    """An alarm for text from elsewhere, in whatever way it is put into the frame."""
    assert codes(FRAME.format(frame=frame)) == ["SSE011"]


@pytest.mark.parametrize(
    "wait",
    [
        "await asyncio.sleep(14)",
        "await asyncio.sleep(seconds)",
        "await asyncio.wait_for(queue.get(), 10)",
        "await asyncio.wait_for(queue.get(), timeout=seconds)",
        "await queue.put(1)",
        "await queue.get('key')",
    ],
)
def test_short_waits_are_no_silence(wait: str) -> None:
    """No alarm for a wait that has a bound of 15 s, or one that cannot be told, or is none."""
    assert codes(WAIT.format(wait=wait)) == []


@pytest.mark.parametrize(
    "wait",
    [
        "await asyncio.sleep(16)",
        "await asyncio.sleep(INTERVAL)",
        "await asyncio.wait_for(queue.get(), 30)",
        "await asyncio.wait_for(queue.get(), None)",
        "await queue.get()",
        "await asyncio.Event().wait()",
    ],
)
def test_long_waits_are_silence(wait: str) -> None:
    """An alarm for a wait of more than 15 s, or without a bound."""
    assert codes(WAIT.format(wait=wait)) == ["SSE002"]


def looping(*lines: str) -> str:
    """Return a module whose generator has these lines in a `while True`."""
    return LOOP.format(body="\n".join(["    while True:", *(f"        {line}" for line in lines)]))


@pytest.mark.parametrize(
    "lines",
    [
        ("yield 1",),
        ("if queue:", "    await queue.get()", "yield 1"),
        ("for item in queue:", "    await item", "yield 1"),
        ("match queue:", "    case 1:", "        await queue", "yield 1"),
        ("while queue:", "    await queue", "yield 1"),
    ],
)
def test_a_round_without_an_await_is_found(lines: tuple[str, ...]) -> None:
    """A way round an endless loop without an await is found through branches, loops and `match`."""
    assert codes(looping(*lines)) == ["SSE004"]


@pytest.mark.parametrize(
    "lines",
    [
        ("try:", "    yield queue.pop()", "finally:", "    await queue.get()"),
        ("async with queue:", "    yield 1"),
        ("async for item in queue:", "    yield item"),
        ("yield await queue.get()",),
        ("yield 1", "if await request.is_disconnected():", "    break"),
        ("if queue:", "    await queue.get()", "else:", "    return", "yield 1"),
    ],
)
def test_a_loop_that_awaits_in_every_round_passes(lines: tuple[str, ...]) -> None:
    """No alarm where every way to the next round awaits; a way out of the loop needs none."""
    assert codes(looping(*lines)) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("except asyncio.CancelledError:", "    pass"), ["SSE005"]),
        (("except (asyncio.CancelledError, ValueError):", "    return"), []),
        (("except asyncio.CancelledError:", "    raise", "except BaseException:", "    pass"), []),
        (("except asyncio.CancelledError:", "    pass", "if queue:", "    break", "return"), []),
        (("except Exception:", "    pass"), []),
        (("except:", "    continue"), ["SSE005"]),
    ],
)
def test_a_swallowed_end_is_found_where_the_stream_goes_on(lines: tuple[str, ...], expected: list[str]) -> None:
    """Only a handler after which there is another round is one that eats the end."""
    assert codes(looping("try:", "    yield await queue.get()", *lines)) == expected


def test_a_swallowed_end_outside_of_a_loop_passes() -> None:
    """A handler around the whole stream ends it, whatever it does."""
    body = "    try:\n        yield await queue.get()\n    except asyncio.CancelledError:\n        pass"
    assert codes(LOOP.format(body=body)) == []


@pytest.mark.parametrize(
    ("line", "home"),
    [
        ("from fastapi import EventSourceResponse", "from unbroken import EventSourceResponse"),
        ("from starlette.responses import Response, ServerSentEvent as Event", "from unbroken import ServerSentEvent"),
        ("from starlette.sse import EventSourceResponse", "from unbroken import EventSourceResponse"),
    ],
)
def test_an_import_that_does_not_exist_is_told_where_it_is_found(line: str, home: str) -> None:
    """The message of SSE001 has the line to write."""
    (finding,) = check_text(f"{line}\n")
    assert finding.code == "SSE001"
    assert f"Write `{home}`" in finding.message


def test_every_rule_is_tied_to_a_cause() -> None:
    """The cause of each rule is in the catalogue."""
    assert [find_cause(rule.cause).id for rule in RULES] == [rule.cause for rule in RULES]
