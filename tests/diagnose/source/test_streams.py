from __future__ import annotations

from pathlib import Path

import pytest

from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import Kind, Stream, streams

RAW = "from starlette.responses import StreamingResponse\n"
GENERATOR = 'def events():\n    yield "data: 1\\n\\n"\n'


def found(text: str) -> list[Stream]:
    """Return the streams of the module `text`."""
    return streams(SourceModule(Path("app.py"), text))


@pytest.mark.parametrize(
    ("imports", "kind"),
    [
        ("from sse_starlette import EventSourceResponse", Kind.SSE_STARLETTE),
        ("from sse_starlette.sse import EventSourceResponse", Kind.SSE_STARLETTE),
        ("from fastapi.sse import EventSourceResponse", Kind.FASTAPI),
        ("from unbroken import EventSourceResponse", Kind.UNBROKEN),
        ("from unbroken.compat.sse_starlette import EventSourceResponse", Kind.COMPAT),
        ("from starlette.responses import EventSourceResponse", Kind.STARLETTE),
    ],
)
def test_a_response_tells_whose_stream_it_is(imports: str, kind: Kind) -> None:
    """Every response of an event stream is known by where it was imported from."""
    stream = found(f"{imports}\n{GENERATOR}\ndef endpoint():\n    return EventSourceResponse(events())\n")[0]
    assert stream.kind is kind
    assert stream.function is not None
    assert stream.function.name.value == "events"
    assert stream.endpoint is not None
    assert stream.endpoint.name.value == "endpoint"
    assert not stream.is_async


@pytest.mark.parametrize(
    ("arguments", "media_type"),
    [
        ('events(), media_type="text/event-stream"', "text/event-stream"),
        ('events(), 200, None, "text/event-stream"', "text/event-stream"),
        ("content=events(), media_type=KIND", "text/event-stream"),
        ('events(), headers={"content-type": "text/event-stream"}', "text/event-stream"),
        ("events()", None),
        ('events(), media_type="text/plain"', "text/plain"),
        ('events(), media_type="application/json"', "application/json"),
    ],
)
def test_a_plain_response_streams_events_by_its_type_or_by_its_frames(arguments: str, media_type: str | None) -> None:
    """A `StreamingResponse` is an event stream by its content type, or because frames are yielded to it."""
    text = f'{RAW}KIND = "text/event-stream"\n{GENERATOR}\ndef endpoint():\n    return StreamingResponse({arguments})\n'
    assert [stream.media_type for stream in found(text)] == [media_type]


def test_what_streams_something_else_is_no_event_stream() -> None:
    """A download, or lines of JSON, are left alone."""
    rows = "def rows():\n    yield 'a,b'\n\n"
    assert found(f"{RAW}{rows}x = StreamingResponse(rows(), media_type='text/csv')\n") == []


def test_a_declared_route_of_fastapi_is_a_stream() -> None:
    """With `response_class=EventSourceResponse` the route is the generator; a route that returns is none."""
    text = (
        "from fastapi import FastAPI\nfrom fastapi.sse import EventSourceResponse\napp = FastAPI()\n"
        "@app.get('/a', response_class=EventSourceResponse)\nasync def a():\n    yield 1\n"
        "@app.get('/b', response_class=EventSourceResponse)\nasync def b():\n    return 1\n"
    )
    (stream,) = found(text)
    assert stream.kind is Kind.FASTAPI
    assert stream.at is stream.generator
    assert stream.is_async


def test_a_generator_of_frames_without_a_response_is_one_of_another_module() -> None:
    """A generator that yields frames is a stream of unknown kind, unless its response is here."""
    (stream,) = found(GENERATOR)
    assert stream.kind is Kind.UNKNOWN
    both = found(f"{RAW}{GENERATOR}x = StreamingResponse(events(), media_type='text/event-stream')\n")
    assert [stream.kind for stream in both] == [Kind.STARLETTE]


def test_the_generator_is_found_through_names_wrappers_and_methods() -> None:
    """A name, a wrapper of the module and an object's method lead to the generator."""
    head = f"{RAW}{GENERATOR}class Feed:\n    def frames(self):\n        yield 'data: 2\\n\\n'\n"
    tail = "StreamingResponse({}, media_type='text/event-stream')\n"
    named = found(head + "made = events()\nx = " + tail.format("made"))[0]
    wrapped = found(
        head + "def wrap(inner):\n    for x in inner:\n        yield x\ny = " + tail.format("wrap(events())")
    )[0]
    method = found(head + "feed = Feed()\nz = " + tail.format("feed.frames()"))[0]
    names = [stream.function.name.value for stream in (named, wrapped, method) if stream.function]
    assert names == ["events", "wrap", "frames"]
    assert [function.name.value for function in wrapped.reach] == ["wrap", "events"]


def test_a_subclass_brings_its_content_type() -> None:
    """A response class of the module is known by its base, and by its `media_type`."""
    text = (
        f"{RAW}{GENERATOR}class Events(StreamingResponse):\n    media_type = 'text/event-stream'\n\n"
        "def endpoint():\n    return Events(events())\n"
    )
    assert [(stream.kind, stream.media_type) for stream in found(text)] == [(Kind.STARLETTE, "text/event-stream")]
