"""Frames that only look as if they could be told: a client reads the same events before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnose.source.fixing.support import events_of
from unbroken.diagnose.source.fixing import fix_text
from unbroken.diagnose.source.fixing.shared import shared_names

MODULE = """\
import asyncio, json
from datetime import date, datetime
from decimal import Decimal
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

{body}

async def endpoint(request):
    return StreamingResponse({source}, media_type="text/event-stream")

app = Starlette(routes=[Route("/stream", endpoint)])
"""


def _module(body: str, source: str = "events()") -> str:
    return MODULE.format(body=body, source=source)


def _is_kept(text: str) -> bool:
    """Say whether the frames stay, after the promise is seen to be kept."""
    after = fix_text(text).text
    assert events_of(after, "after") == events_of(text, "before") != []
    return "preframed=True" in after


FRAMED_BY_ITSELF = {
    "inline": r"""
async def events():
    text = "one\ntwo"
    yield f"data: {text.replace(chr(10), chr(10) + 'data: ')}\n\n"
""",
    "name": r"""
async def events():
    safe = "one\ntwo".replace("\n", "\ndata: ")
    yield f"data: {safe}\n\n"
""",
    "changed in place": r"""
async def events():
    text = "one\ntwo"
    text = text.replace("\n", "\ndata: ")
    yield "data: %s\n\n" % (text,)
""",
    "joined": r"""
async def events():
    yield "data: " + "\ndata: ".join("one\ntwo".splitlines()) + "\n\n"
""",
    "helper that frames": r"""
def frame(text):
    lines = "\ndata: ".join(text.split("\n"))
    return f"event: message\ndata: {lines}\n\n"

async def events():
    yield frame("one\ntwo")
""",
    "helper inside the frame": r"""
def safe(text):
    return text.replace("\n", "\ndata: ")

async def events():
    text = "one\ntwo"
    yield f"data: {safe(text)}\n\n"
""",
    "argument of a helper": r"""
def frame(text):
    return f"data: {text}\n\n"

async def events():
    yield frame("one\ntwo".replace("\n", "\ndata: "))
""",
    "second event": r"""
async def events():
    for number in range(3):
        end = "\n\nevent: done\ndata: bye" if number == 2 else ""
        yield f"data: {number}{end}\n\n"
""",
    "added to": r"""
async def events():
    text = "one"
    text += "\nevent: end"
    yield f"data: {text}\n\n"
""",
    "collected": r"""
async def events():
    lines = ["one"]
    lines.append("\ndata: two")
    yield f"data: {''.join(lines)}\n\n"
""",
    "loop": r"""
TEXTS = ["one", "two\nid: 4"]

async def events():
    for text in TEXTS:
        yield f"data: {text}\n\n"
""",
    "attribute": r"""
class Words:
    def __init__(self):
        self.last = "one\ndata: two"

async def events():
    words = Words()
    yield f"data: {words.last}\n\n"
""",
    "f-string": r"""
async def events():
    number = 2
    rest = f"{number}\nid: {number}"
    yield f"data: {rest}\n\n"
""",
}


@pytest.mark.parametrize("body", FRAMED_BY_ITSELF.values(), ids=FRAMED_BY_ITSELF)
def test_text_that_frames_by_itself_is_not_framed_twice(body: str) -> None:
    """Where the text in a frame holds line breaks with fields, or a blank line, the frame stays as it is."""
    assert _is_kept(_module(body))


@pytest.mark.parametrize(
    "text",
    [
        r'json.dumps({"text": "one\n\ndata: two"})',
        r'json.dumps({"text": "one"}).strip("\ndata: ")',
        r'"a|b".replace("\n\n", "|")',
        r'str(["one", "two"] != "\ndata: ")',
    ],
)
def test_constants_that_never_stand_in_a_frame_keep_nothing_back(text: str) -> None:
    """JSON escapes its line breaks; what is compared, cut off or replaced is not put out."""
    assert not _is_kept(_module(f"async def events():\n    text = {text}\n    yield f'data: {{text}}\\n\\n'\n"))


def test_events_that_are_taken_apart_by_hand_are_rewritten() -> None:
    """A field's name that is looked for, or cut off, and a separator that is split at, say nothing of what is left."""
    body = r"""
async def events(source):
    for line in source.read().split("\n\n"):
        if line.startswith("data: "):
            yield f"data: {line.removeprefix('data: ')}\n\n"
"""
    assert "preframed" not in fix_text(_module(body)).text


def test_a_response_that_frames_keeps_text_that_frames_by_itself() -> None:
    """A frame inside a frame is taken out only where it is one."""
    text = r"""
import asyncio
from unbroken import EventSourceResponse

async def events(text):
    await asyncio.sleep(1)
    safe = text.replace("\n", "\ndata: ")
    yield f"data: {safe}\n\n"

async def endpoint(request):
    return EventSourceResponse(events("a"))
"""
    assert fix_text(text).text == text


LOOP = r"""
async def frames():
    for number in range(2):
        yield f"data: {{number}}\n\n"

async def events():
    async for chunk in frames():
        {line}
        yield chunk
"""


@pytest.mark.parametrize(
    "line",
    [
        'chunk = chunk.replace("data", "event: x\\ndata")',
        'assert chunk.startswith("data: ")',
        "assert len(chunk) == 9",
        'chunk = "data: y\\n\\n"',
        'chunk += ""',
        'for chunk in ["data: y\\n\\n"]: pass',
    ],
)
def test_what_a_loop_looks_at_stays_a_frame(line: str) -> None:
    """A loop that changes or reads what it passes on was written for frames."""
    assert _is_kept(_module(LOOP.format(line=line)))


def test_what_a_loop_passes_on_is_rewritten() -> None:
    """A loop that only yields its variable takes events as well."""
    assert not _is_kept(_module(LOOP.format(line="pass")))


METHOD = r"""
class First:
    def stream_all(self):
        return StreamingResponse(self.words(), media_type="text/event-stream")

    async def words(self):
        yield "data: 1\n\n"

class Second({base}):
    async def {name}(self):
        for frame in ["data: 2\n\n"]:
            yield frame

async def answer(request):
    return Second().{call}()
"""


def test_a_method_that_a_subclass_has_too_yields_what_it_yielded() -> None:
    """The response of the base sends the events of the subclass, which are frames."""
    text = _module(METHOD.format(base="First", name="words", call="stream_all"))
    assert _is_kept(text.replace("endpoint)", "answer)"))


def test_a_method_that_nobody_overrides_is_rewritten() -> None:
    """Another method of another class says nothing."""
    text = fix_text(_module(METHOD.format(base="First", name="letters", call="stream_all"))).text
    assert 'yield "1"' in text


def test_a_method_that_a_class_of_another_file_has_is_shared() -> None:
    """Methods of other files count, whether or not those name the module; functions there do not."""
    sources = {
        Path("app.py"): b"",
        Path("other.py"): b"class A(B):\n    async def stream(self):\n        ...\n\n    def other(x):\n        ...\n",
    }
    assert shared_names(Path("app.py"), sources) == {".stream"}


@pytest.mark.parametrize(("shared", "kept"), [(".words", True), ("other", False), ("words", True)])
def test_a_shared_method_keeps_its_frames(shared: str, kept: bool) -> None:
    """What a class of another file may override is not rewritten."""
    from unbroken.diagnose.source.fixing.outputs import drafts
    from unbroken.diagnose.source.module import SourceModule
    from unbroken.diagnose.source.streams import Kind, streams

    module = SourceModule(Path("app.py"), _module(METHOD.format(base="First", name="letters", call="stream_all")))
    found = [stream for stream in streams(module) if stream.kind is Kind.STARLETTE][:1]
    assert (not drafts(module, found, frozenset({shared}))) == kept


def _yields(value: str, before: str = "") -> str:
    return _module(
        f"{before}\nasync def events():\n    value = datetime(2020, 1, 1, 1, 1, 1, 5)\n"
        f'    yield f"data: {{{value}}}\\n\\n"\n'
    )


CODEC = """
class Codec:
    def decode(self, text): return {"a": text}
    def dumps(self, value): return {"a": value}
codec = Codec()
line = b" abc "
"""


@pytest.mark.parametrize(
    ("value", "before"),
    [
        ("value.replace(microsecond=0)", ""),
        ("codec.decode('t')", CODEC),
        ("line.strip()", CODEC),
        ("line.decode()", CODEC),
        ("json.dumps('t')", f"{CODEC}json = codec"),
        ("format('t')", "def format(text): return [text]"),
    ],
)
def test_the_name_of_a_method_proves_no_text(value: str, before: str) -> None:
    """A method of a `datetime`, of `bytes`, or of a type of one's own may return anything: it stays in its f-string."""
    text = _yields(value, before)
    assert not _is_kept(text)
    assert f'yield f"{{{value}}}"' in fix_text(text).text


@pytest.mark.parametrize(
    "value",
    ["json.dumps(1)", "str(value)", "value.isoformat()", "'a'.upper()", "str(value).strip().upper()", "'-'.join('ab')"],
)
def test_what_is_text_for_certain_stands_alone(value: str) -> None:
    """JSON, `str()`, and the methods of what is text already."""
    text = _yields(value)
    assert not _is_kept(text)
    assert f"yield {value}\n" in fix_text(text).text


def test_a_method_encode_of_ones_own_stays() -> None:
    """Only of a text is it known which bytes it encodes to."""
    events = 'async def events():\n    yield b"data: " + {value}.encode() + b"\\n\\n"\n'
    own = 'class A:\n    def encode(self): return b"1"\n\n'
    assert _is_kept(_module(own + events.format(value="A()")))
    assert not _is_kept(_module(events.format(value="json.dumps(1)")))


@pytest.mark.parametrize(
    ("operand", "expected"),
    [
        ('Decimal("1.015")', """"%.2f" % (Decimal("1.015"),)"""),
        ("1.015", 'f"{1.015:.2f}"'),
        ("float('1.015')", '''f"{float('1.015'):.2f}"'''),
        ("len('abc')", '''f"{len('abc'):.2f}"'''),
    ],
)
def test_a_percent_rounds_as_it_did(operand: str, expected: str) -> None:
    """`%.2f` makes a `float` of its operand, `:.2f` asks the operand; a `Decimal` rounds otherwise."""
    text = _module(f'async def events():\n    yield "data: %.2f\\n\\n" % ({operand},)\n')
    assert not _is_kept(text)
    assert f"yield {expected}\n" in fix_text(text).text


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (r"""f'data: {{"progress": {value}}}\n\n'""", r"""f'{{"progress": {value}}}'"""),
        (r"""'data: {"a": 1}\n\n'""", r"""'{"a": 1}'"""),
        (r"""'event: e\ndata: 1\n\n'""", r"""ServerSentEvent('1', event='e')"""),
        (r'''"""data: "a" and 'b'\n\n"""''', r'''"\"a\" and 'b'"'''),
        (r"""'data: it\'s\n\n'""", '''"it's"'''),
    ],
)
def test_a_string_keeps_its_quotes(frame: str, expected: str) -> None:
    """The quotes of the original, which nothing in it had to be escaped for."""
    text = _module(f"async def events():\n    value = 1\n    yield {frame}\n")
    assert not _is_kept(text)
    assert f"yield {expected}\n" in fix_text(text).text
