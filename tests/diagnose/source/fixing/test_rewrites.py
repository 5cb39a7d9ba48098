"""Each rewrite by itself: a body before, and the same body after."""

from __future__ import annotations

import textwrap

import pytest

from unbroken.diagnose.source import CheckConfig
from unbroken.diagnose.source.fixing import fix_text
from unbroken.wire import Decoder, encode_item

PLAIN = """\
import asyncio
import json
from starlette.responses import StreamingResponse


async def events(value):
    await asyncio.sleep(1)
    yield {frame}


async def endpoint(request):
    return StreamingResponse(events(1), media_type="text/event-stream")
"""


def after(text: str) -> str:
    """Return what `fix` makes of `text`."""
    return fix_text(textwrap.dedent(text)).text


@pytest.mark.parametrize(
    ("frame", "item"),
    [
        (r'f"data: {json.dumps(value)}\n\n"', "json.dumps(value)"),
        (r'f"data: {value}\n\n"', 'f"{value}"'),
        (r'"data: " + json.dumps(value) + "\n\n"', "json.dumps(value)"),
        (r'"data: {}\n\n".format(value)', 'f"{value}"'),
        (r'"data: {value:.2f}\n\n".format(value=value)', 'f"{value:.2f}"'),
        (r'"data: %s\n\n" % (value,)', 'f"{value}"'),
        (r'"data: %.1f\n\n" % (value,)', '"%.1f" % (value,)'),
        (r'f"data: {value}\n\n".encode()', 'f"{value}"'),
        (r'b"data: done\n\n"', '"done"'),
        (r'f"data: {value}\r\n\r\n"', 'f"{value}"'),
        (r'"data: [" f"{value}" "]\n\n"', 'f"[{value}]"'),
        (r'"data: a\ndata: b\n\n"', r'"a\nb"'),
        (r'f"event: tick\ndata: {value}\n\n"', 'ServerSentEvent(f"{value}", event="tick")'),
        (r'f"id: {value}\nevent: e\ndata: 1\n\n"', 'ServerSentEvent("1", event="e", id=f"{value}")'),
        (r'"retry: 3000\ndata: 1\n\n"', 'ServerSentEvent("1", retry=3000)'),
        (r'": still here\n\n"', 'ServerSentEvent(comment="still here")'),
        (r'f"data:{json.dumps(value)}\n\n"', "json.dumps(value)"),
    ],
)
def test_a_frame_becomes_the_event_that_it_frames(frame: str, item: str) -> None:
    """However a frame was put together, the event stands there afterwards, and a client reads the same."""
    text = after(PLAIN.format(frame=frame))
    assert f"yield {item}\n" in text
    assert "EventSourceResponse(events(1))" in text
    assert _read(frame, 1.5) == _read(item, 1.5)


def _read(expression: str, value: object) -> list[tuple[str, str, str]]:
    import json

    from unbroken import ServerSentEvent

    item = eval(expression, {"json": json, "value": value, "ServerSentEvent": ServerSentEvent})
    is_frame = expression.startswith(("f", "b", '"')) and ":" in expression[:12] and r"\n" in expression
    frame = item.encode() if is_frame and isinstance(item, str) else encode_item(item)
    return [(event.event, event.data, event.last_event_id) for event in Decoder().feed(frame)]


@pytest.mark.parametrize(
    "frame",
    [
        r'f"data:{value}\n\n"',  # the value may begin with the space that a client takes away
        r'"data: a\n\ndata: b\n\n"',  # two events
        r'f"{value}"',  # whoever makes it knows what it is
        r'"data: %s\n\n" % value',  # a tuple would be taken apart
        r'f"{value}: x\n\n"',  # a field that only a run tells
        r'f"retry: {value}\ndata: 1\n\n"',  # no number for certain
        r'f"data: {value=}\n\n"',  # it says its own name
        r'"data: a\rdata: b\n\n"',  # a line end that is none of ours
    ],
)
def test_a_frame_that_is_not_certain_stays(frame: str) -> None:
    """What a client makes of it cannot be told, so the text goes out as it is."""
    text = after(PLAIN.format(frame=frame))
    assert f"yield {frame}\n" in text
    assert "EventSourceResponse(events(1), preframed=True)" in text


def test_frames_in_pieces_stay() -> None:
    """An event over several yields is understood by nobody but the client."""
    text = after(PLAIN.format(frame=r'"event: a\n"' + "\n    yield " + r'"data: b\n\n"'))
    assert r'yield "event: a\n"' in text
    assert "preframed=True" in text


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ('media_type="text/event-stream"', "events(1)"),
        ('200, None, "text/event-stream"', "events(1), 200, None"),
        (
            'status_code=201, media_type="text/event-stream", background=task',
            "events(1), status_code=201, background=task",
        ),
        (
            'media_type="text/event-stream; charset=latin-1"',
            'events(1), media_type="text/event-stream; charset=latin-1"',
        ),
        (
            'media_type="text/event-stream", headers={"Cache-Control": "no-cache", "Connection": "keep-alive"}',
            "events(1)",
        ),
        (
            'media_type="text/event-stream", headers={"X-A": "b", "X-Accel-Buffering": "no"}',
            'events(1), headers={"X-A": "b"}',
        ),
        (
            'media_type="text/event-stream", headers={"Cache-Control": "public, max-age=5"}',
            'events(1), headers={"Cache-Control": "public, max-age=5"}',
        ),
        ('headers={"Content-Type": "text/event-stream"}', "events(1)"),
    ],
)
def test_a_response_keeps_what_it_says_and_ours_does_not(arguments: str, kept: str) -> None:
    """Status, background, another charset and further headers stay; what is the default here goes."""
    text = PLAIN.format(frame=r'"data: 1\n\n"').replace('media_type="text/event-stream"', arguments)
    assert f"return EventSourceResponse({kept})" in after(f"task = None\n{text}")


def test_a_compressed_body_is_left_alone() -> None:
    """Nothing can be put between two frames of a compressed body, so its response stays."""
    text = PLAIN.format(frame=r'"data: 1\n\n"').replace(
        'media_type="text/event-stream"', 'media_type="text/event-stream", headers={"Content-Encoding": "br"}'
    )
    assert "return StreamingResponse(" in after(text)


def test_a_helper_that_frames_returns_the_event() -> None:
    """A function whose frames only this stream yields makes events, and says so in its annotation."""
    text = after(
        r"""
        import json
        from fastapi.responses import StreamingResponse
        from typing import AsyncIterator

        def sse(event: str, data: dict) -> str:
            return f"event: {event}\ndata: {json.dumps(data)}\n\n"

        async def events() -> AsyncIterator[str]:
            yield sse("start", {})

        def endpoint() -> StreamingResponse:
            return StreamingResponse(events(), media_type="text/event-stream")
        """
    )
    assert "def sse(event: str, data: dict) -> ServerSentEvent:" in text
    assert "return ServerSentEvent(json.dumps(data), event=event)" in text
    assert "async def events() -> AsyncIterator[ServerSentEvent]:" in text
    assert "def endpoint() -> EventSourceResponse:" in text
    assert "StreamingResponse," not in text
    assert "import StreamingResponse" not in text


@pytest.mark.parametrize("use", ["other = list(events)", '__all__ = ["events"]', "def test():\n    return events()"])
def test_a_generator_that_others_use_yields_what_it_yielded(use: str) -> None:
    """Frames stay frames where somebody else may read them."""
    text = after(PLAIN.format(frame=r'"data: 1\n\n"') + f"\n\n{use}\n")
    assert r'yield "data: 1\n\n"' in text
    assert "preframed=True" in text


def test_generators_of_one_name_in_several_endpoints_are_told_apart() -> None:
    """Each endpoint's own `events` is its own: that the name is used elsewhere keeps nothing back."""
    endpoint = PLAIN.partition("\n\n\n")[2].format(frame=r'"data: 1\n\n"')
    nested = "\n\n".join(f"def {name}():\n{textwrap.indent(endpoint, '    ')}    return endpoint" for name in "ab")
    text = after(f"import asyncio\nfrom starlette.responses import StreamingResponse\n\n{nested}\n")
    assert text.count('yield "1"') == 2
    assert "preframed" not in text


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            "from sse_starlette import EventSourceResponse",
            "from unbroken.compat.sse_starlette import EventSourceResponse",
        ),
        (
            "from sse_starlette.sse import EventSourceResponse  # mine",
            "from unbroken.compat.sse_starlette.sse import EventSourceResponse  # mine",
        ),
        ("import sse_starlette", "import unbroken.compat.sse_starlette as sse_starlette"),
        ("import sse_starlette.sse as s", "import unbroken.compat.sse_starlette.sse as s"),
        ("from fastapi.sse import ServerSentEvent", "from unbroken.compat.fastapi import ServerSentEvent"),
        ("from sse_starlette.sse import _private", "from sse_starlette.sse import _private"),
        (
            "from sse_starlette import EventSourceResponse  # noqa",
            "from sse_starlette import EventSourceResponse  # noqa",
        ),
    ],
)
def test_an_import_of_a_library_becomes_that_of_its_stand_in(before: str, expected: str) -> None:
    """The names stay as they are, so nothing else has to change; a name that is not here stays there."""
    assert after(f"{before}\n") == f"{expected}\n"


def test_a_name_that_is_imported_along_stays_where_it_was() -> None:
    """Only what comes from this package moves."""
    text = after("from fastapi.responses import EventSourceResponse as E, JSONResponse\n\nx = E, JSONResponse\n")
    assert "from fastapi.responses import JSONResponse" in text
    assert "from unbroken.compat.fastapi import EventSourceResponse as E" in text


HANDLER = """\
import asyncio
from unbroken import EventSourceResponse

async def events(queue):
    while True:
        try:
            yield await queue.get()
        {handler}

async def endpoint(queue):
    return EventSourceResponse(events(queue))
"""


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (
            "except Exception:\n            print()",
            "except StreamClosed:\n            raise\n        except Exception:",
        ),
        ("except asyncio.CancelledError:\n            pass", "except asyncio.CancelledError:\n            raise\n"),
        (
            "except asyncio.CancelledError:\n            print()",
            "except asyncio.CancelledError:\n            print()\n            raise\n",
        ),
        (
            "except:\n            print()",
            "except (asyncio.CancelledError, GeneratorExit, StreamClosed):\n            raise\n        except:",
        ),
    ],
)
def test_what_ends_a_stream_passes_by_the_handlers(handler: str, expected: str) -> None:
    """A handler in a loop around a `yield` no longer eats the client's leaving."""
    assert expected in after(HANDLER.format(handler=handler))


@pytest.mark.parametrize(
    "handler",
    [
        "except Exception:\n            raise",
        "except asyncio.CancelledError:\n            print()\n            raise",
        "except ConnectionResetError:\n            raise\n        except Exception:\n            print()",
        "except Exception:  # noqa: SSE005\n            print()",
    ],
)
def test_a_handler_that_is_right_or_excused_stays(handler: str) -> None:
    """What raises again, what another handler is before, and what is excused is not touched."""
    text = HANDLER.format(handler=handler)
    assert after(text) == text


def test_work_after_the_handler_is_not_left_out() -> None:
    """Where a `raise` would jump over cleanup that the handler leads to, the handler stays, and is told of."""
    text = textwrap.dedent(
        """
        import asyncio
        from unbroken import EventSourceResponse

        async def events(queue, clients):
            while True:
                try:
                    yield await queue.get()
                except BaseException:
                    if queue.empty():
                        break
            clients.clear()

        async def endpoint(queue, clients):
            return EventSourceResponse(events(queue, clients))
        """
    )
    assert "asyncio.CancelledError" not in after(text)


@pytest.mark.parametrize(
    ("kind", "add", "remove"), [("list", "append", "remove"), ("set", "add", "discard")], ids=["list", "set"]
)
def test_a_subscriber_is_removed_in_a_finally(kind: str, add: str, remove: str) -> None:
    """A removal after the loop moves to where it is always reached."""
    text = after(
        f"""
        import asyncio
        from unbroken import EventSourceResponse

        clients = {kind}()

        async def events():
            queue = asyncio.Queue(8)
            clients.{add}(queue)
            # the first word
            yield "hello"
            while True:
                yield await queue.get()
            clients.remove(queue)

        async def endpoint():
            return EventSourceResponse(events())
        """
    )
    expected = f"""\
    clients.{add}(queue)
    try:
        # the first word
        yield "hello"
        while True:
            yield await queue.get()
    finally:
        clients.{remove}(queue)
"""
    assert expected in text


def test_one_that_others_remove_as_well_is_looked_for_first() -> None:
    """`list.remove` of what is not there would raise in the `finally`."""
    text = after(
        """
        import asyncio
        from unbroken import EventSourceResponse

        clients = []

        def kick(queue):
            clients.remove(queue)

        async def events():
            queue = asyncio.Queue(8)
            clients.append(queue)
            while True:
                yield await queue.get()

        async def endpoint():
            return EventSourceResponse(events())
        """
    )
    assert "    finally:\n        if queue in clients:\n            clients.remove(queue)\n" in text


def test_time_sleep_is_awaited() -> None:
    """In a coroutine `time.sleep` becomes `asyncio.sleep`, under the name that the module has for asyncio."""
    text = after(
        """
        import asyncio as aio
        from time import sleep
        from unbroken import EventSourceResponse

        async def events():
            while True:
                yield "x"
                sleep(0.5)

        async def endpoint():
            return EventSourceResponse(events())
        """
    )
    assert "await aio.sleep(0.5)" in text
    assert "from time" not in text


def test_a_generator_that_only_sleeps_becomes_asynchronous() -> None:
    """It holds a thread for nothing but a pause, and nobody else calls it."""
    text = after(
        """
        import time
        from collections.abc import Iterator
        from fastapi.responses import StreamingResponse

        def events() -> Iterator[str]:
            while True:
                yield f"data: {time.time()}\\n\\n"
                time.sleep(1)

        def endpoint():
            return StreamingResponse(events(), media_type="text/event-stream")
        """
    )
    assert "async def events() -> AsyncIterator[str]:" in text
    assert "await asyncio.sleep(1)" in text
    assert 'yield f"{time.time()}"' in text


def test_a_response_class_of_ones_own_gets_another_base() -> None:
    """A subclass that only says its content type goes on taking frames."""
    text = after(
        """
        import asyncio
        from fastapi.responses import StreamingResponse

        class Events(StreamingResponse):
            media_type = "text/event-stream"

        async def events():
            while True:
                await asyncio.sleep(1)
                yield "data: 1\\n\\n"

        def endpoint():
            return Events(events())
        """
    )
    assert "from unbroken.compat.starlette import EventSourceResponse" in text
    assert "class Events(EventSourceResponse):" in text
    assert r'yield "data: 1\n\n"' in text


def test_two_responses_of_one_name_are_told_apart() -> None:
    """Where the name is taken, ours gets another, and no stream changes hands."""
    text = after(
        """
        import asyncio
        from fastapi.responses import StreamingResponse
        from sse_starlette import EventSourceResponse

        async def one():
            yield {"data": "1"}

        async def two():
            await asyncio.sleep(1)
            yield "data: 2\\n\\n"

        def a():
            return EventSourceResponse(one())

        def b():
            return StreamingResponse(two(), media_type="text/event-stream")
        """
    )
    assert "from unbroken.compat.sse_starlette import EventSourceResponse" in text
    assert "from unbroken import EventSourceResponse as UnbrokenEventSourceResponse" in text
    assert "return EventSourceResponse(one())" in text
    assert "return UnbrokenEventSourceResponse(two())" in text


@pytest.mark.parametrize("comment", ["# noqa", "# noqa: SSE012", "# noqa: E501, SSE002"])
def test_what_is_excused_is_not_rewritten(comment: str) -> None:
    """A `# noqa` that names one of the rules a rewrite is for keeps the statement as it is."""
    text = PLAIN.format(frame=r'"data: 1\n\n"')
    excused = text.rstrip("\n") + f"  {comment}\n"
    assert after(excused) == excused


def test_rules_that_are_not_wanted_are_not_rewritten_for() -> None:
    """`ignore` of all the rules behind a rewrite keeps it from being done."""
    config = CheckConfig(ignore=("SSE002", "SSE012", "SSE013", "SSE017", "SSE019"))
    text = PLAIN.format(frame=r'"data: 1\n\n"')
    assert fix_text(text, config=config).text == text


def test_a_guarded_stream_keeps_its_response() -> None:
    """A guard mends what it stands before, so there is nothing to rewrite."""
    text = PLAIN.format(frame=r'"data: 1\n\n"')
    assert fix_text(text, config=CheckConfig(guarded=True)).text == text


def test_a_change_says_where_and_for_which_rule() -> None:
    """Each rewrite is told with its line in the text as it was and the rule that asks for it."""
    changes = fix_text(PLAIN.format(frame=r'f"data: {value}\n\n"')).changes
    assert [change.line for change in changes] == [8, 12]
    assert changes[1].code in {"SSE002", "SSE012"}
    assert "unbroken.EventSourceResponse" in changes[1].what
    assert changes[1].as_dict() == {"line": 12, "code": changes[1].code, "what": changes[1].what}
