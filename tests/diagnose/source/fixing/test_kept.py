"""What a rewrite must not lose: headers, comments, other files' expectations, and files halfway."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from tests.diagnose.source.fixing.support import events_of
from unbroken.diagnose.source import check
from unbroken.diagnose.source.fixing import FixedText, fix, fix_text

HEAD = """\
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    await asyncio.sleep(1)
    yield "data: 1\\n\\n"

"""
END = '\n\napp = Starlette(routes=[Route("/stream", endpoint)])\n'


def _fixed(endpoint: str, head: str = HEAD) -> FixedText:
    return fix_text(f"{head}\n{textwrap.dedent(endpoint)}{END}")


ANSWER = 'return StreamingResponse(events(), media_type="text/event-stream", headers=headers)'


@pytest.mark.parametrize(
    "later",
    [
        'headers["X-Extra"] = "1"',
        'headers.update({"X-Extra": "1"})',
        "extend(headers)",
        "other = headers",
        'headers |= {"X-Extra": "1"}',
    ],
)
def test_headers_that_change_after_their_dict_stay(later: str) -> None:
    """A dict is dropped only if nothing but responses ever sees it."""
    text = _fixed(
        f'def endpoint(request):\n    headers = {{"Cache-Control": "no-cache"}}\n    {later}\n    {ANSWER}'
    ).text
    assert "return EventSourceResponse(events(), headers=headers)" in text
    assert 'headers = {"Cache-Control": "no-cache"}' in text


def test_headers_of_a_module_that_a_function_extends_stay() -> None:
    """So it is with a dict of the module, wherever it is changed; its readers keep nothing back."""
    module = 'HEADERS = {"Cache-Control": "no-cache"}\n'
    endpoint = f"def endpoint(request):\n    {ANSWER.replace('=headers', '=HEADERS')}"
    changing = '\n\ndef setup(name):\n    HEADERS["X-Extra"] = name'
    reading = '\n\ndef others():\n    return {**HEADERS, "X-Extra": "1"}'
    assert "headers=HEADERS" in _fixed(module + endpoint + changing).text
    assert "return EventSourceResponse(events())" in _fixed(module + endpoint + reading).text


def test_headers_that_another_file_names_stay(tmp_path: Path) -> None:
    """What another module may put into a dict cannot be seen from here."""
    module = 'HEADERS = {"Cache-Control": "no-cache"}\n'
    endpoint = f"def endpoint(request):\n    {ANSWER.replace('=headers', '=HEADERS')}"
    (tmp_path / "feed.py").write_text(f"{HEAD}\n{module}{endpoint}{END}", encoding="utf-8")
    (tmp_path / "setup.py").write_text('import feed\n\nfeed.HEADERS["X-Extra"] = "1"\n', encoding="utf-8")
    (file,) = fix([tmp_path]).changed
    assert "headers=HEADERS" in file.after


def test_an_encoding_that_is_set_later_keeps_the_response() -> None:
    """A body that may be compressed takes no heartbeat, wherever its header is set."""
    later = 'headers["Content-Encoding"] = "gzip"'
    text = _fixed(f"def endpoint(request):\n    headers = {{}}\n    {later}\n    {ANSWER}").text
    assert "return StreamingResponse(" in text


LATE = """\
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


class Plain(StreamingResponse):
    def render(self, content):
        return super().render(content)


async def events():
    await asyncio.sleep(1)
    yield "data: 1\\n\\n"


def endpoint(request) -> StreamingResponse:
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", endpoint)])

import os  # noqa: E402
{more}"""


@pytest.mark.parametrize("more", ["", "from unbroken import StreamClosed  # noqa: E402\n\nos, StreamClosed\n"])
def test_an_import_stands_above_what_uses_it(more: str) -> None:
    """A late import draws no other behind it: the annotation above needs the name when the module is imported."""
    text = LATE.replace("{more}", more)
    after = fix_text(text).text
    lines = after.splitlines()
    assert lines.index("from unbroken import EventSourceResponse") < lines.index("class Plain(StreamingResponse):")
    assert events_of(after, "late") == events_of(text, "late") != []


def test_what_a_function_imports_is_not_taken_for_the_modules_own() -> None:
    """A name that only one function has imports itself anew for the others."""
    text = _fixed(
        f"""
        def other():
            from unbroken import EventSourceResponse
            return EventSourceResponse

        def endpoint(request):
            {ANSWER.replace(", headers=headers", "")}
        """
    ).text
    assert "from unbroken import EventSourceResponse as UnbrokenEventSourceResponse" in text
    assert "return UnbrokenEventSourceResponse(events())" in text


@pytest.mark.parametrize(
    "use",
    [
        "isinstance(response, StreamingResponse)",
        "isinstance(response, (str, StreamingResponse))",
        "type(response) is StreamingResponse",
        "[part async for part in response.body_iterator]",
    ],
)
def test_a_response_whose_class_is_asked_for_stays(use: str, tmp_path: Path) -> None:
    """Whether it is asked in the same file or in another that is named along; and it is told why."""
    endpoint = f"def endpoint(request):\n    {ANSWER.replace(', headers=headers', '')}"
    asking = f"async def look(response):\n    return {use}"
    here = _fixed(f"{endpoint}\n\n{asking}")
    assert "return StreamingResponse(" in here.text
    feed = tmp_path / "feed.py"
    feed.write_text(f"{HEAD}\n{endpoint}{END}", encoding="utf-8")
    other = tmp_path / "other.py"
    other.write_text(f"from starlette.responses import StreamingResponse\n\n{asking}\n", encoding="utf-8")
    assert not fix([tmp_path]).changed
    told = [left.why for left in (*here.left, *fix([tmp_path]).left)]
    assert len(told) >= 2
    assert all("StreamingResponse" in why for why in told)
    assert fix([feed]).changed


def test_a_response_that_is_only_made_and_annotated_does_not_ask() -> None:
    """To make one, derive from it or name it as a type takes nothing apart."""
    text = _fixed(
        f"""
        class Own(StreamingResponse):
            pass

        def other(response: StreamingResponse | None) -> list[StreamingResponse]:
            return [StreamingResponse("")]

        def endpoint(request):
            {ANSWER.replace(", headers=headers", "")}
        """
    ).text
    assert "return EventSourceResponse(events())" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('events(), media_type="text/plain" if plain else "text/event-stream"', "run time"),
        ("events(), media_type=plain", "run time"),
        ('events(), 200, None, plain("accept")', "run time"),
        ('events(), headers={"Content-Type": plain}', "run time"),
        ('"data: 1\\n\\n", media_type="text/event-stream"', "one text"),
        ('f"data: {plain}\\n\\n", media_type="text/event-stream"', "one text"),
        ('"".join(plain), media_type="text/event-stream"', "one text"),
        ('body, media_type="text/event-stream"', "one text"),
    ],
)
def test_a_response_of_which_too_little_is_known_stays(arguments: str, reason: str) -> None:
    """Another content type at run time would be lost, and a text is no iterator; both are told."""
    endpoint = (
        f'def endpoint(request, plain=None):\n    body = "data: 1\\n\\n"\n    return StreamingResponse({arguments})'
    )
    fixed = _fixed(endpoint)
    assert endpoint in fixed.text
    assert [reason in left.why for left in fixed.left if left.finding.code == "SSE002"] in ([True], [])
    assert all(reason in left.why for left in fixed.left if left.finding.code in {"SSE002", "SSE012"})


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            """\
            events(),  # what
            status_code=200,  # always
            media_type="text/event-stream",  # of course
        """,
            """\
            events(),  # what
            status_code=200,  # always
            preframed=True,
        """,
        ),
        (
            """\
            events(),  # what
            media_type="text/event-stream",
            status_code=200,  # always
        """,
            """\
            events(),  # what
            status_code=200,  # always
            preframed=True,
        """,
        ),
        (
            """\
            events(), media_type="text/event-stream", status_code=200,
        """,
            """\
            events(), status_code=200, preframed=True,
        """,
        ),
        (
            """\
            events(),
            media_type="text/event-stream"
        """,
            """\
            events(),
            preframed=True
        """,
        ),
    ],
)
def test_each_argument_keeps_its_comment_and_its_place(call: str, expected: str) -> None:
    """A comment goes on saying what it said of its own argument; lines are broken as they were."""
    head = HEAD.replace('"data: 1\\n\\n"', '"data: 1\\n"\n    yield "\\n"')
    endpoint = f"def endpoint(request):\n        return StreamingResponse(\n{call})"
    text = fix_text(f"{head}\n{endpoint}{END}").text
    assert f"return EventSourceResponse(\n{expected})" in text
    assert not any(line.endswith(" ") for line in text.splitlines())


@pytest.mark.parametrize("end", [",", ""])
def test_a_header_that_goes_leaves_no_gap(end: str) -> None:
    """The last of a dict's elements goes with its line, and the bracket stays where it stood."""
    text = _fixed(
        f"""
        def endpoint(request):
            return StreamingResponse(
                events(),
                headers={{
                    "X-Extra": "1",  # ours
                    "Connection": "keep-alive"{end}
                }},
                media_type="text/event-stream",
            )
        """
    ).text
    kept = f'"X-Extra": "1"{end}  # ours'
    assert f"headers={{\n            {kept}\n        }},\n    )" in text
    assert not any(line and not line.strip() for line in text.splitlines())


CANCELLED = """\
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def work(number):
    if number == 1:
        raise asyncio.CancelledError
    return number


async def events():
    task = asyncio.create_task(asyncio.sleep(60))
    queue = asyncio.Queue()
    queue.put_nowait(1)
    for number in range(3):
        try:
            {body}
            yield f"data: {{number}}\\n\\n"
        except {caught}:
            {handler}


def endpoint(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", endpoint)])
"""


@pytest.mark.parametrize("caught", ["asyncio.CancelledError", "BaseException"])
@pytest.mark.parametrize(
    "body",
    [
        "await work(number)",
        "await asyncio.wait_for(work(number), 1)",
        "number != 1 or task.cancel(); await asyncio.wait([task], timeout=0); number != 1 or await task",
    ],
)
def test_a_cancellation_that_need_not_be_the_streams_end_stays_caught(body: str, caught: str) -> None:
    """A task, a future or the work itself may be cancelled: the stream goes on after that as it did."""
    text = CANCELLED.format(body=body, caught=caught, handler="continue")
    after = fix_text(text).text
    assert "asyncio.CancelledError:\n            raise" not in after
    assert [data for _, data, _ in events_of(after, "after")] == ["0", "2"]
    assert events_of(after, "after") == events_of(text, "before")


@pytest.mark.parametrize("body", ["await asyncio.sleep(1)", "await asyncio.wait_for(queue.get(), 1)"])
def test_a_cancellation_that_is_the_streams_end_is_raised_again(body: str) -> None:
    """Nobody else cancels a wait for the clock, or for a queue."""
    text = CANCELLED.format(body=body, caught="asyncio.CancelledError", handler="continue")
    assert "except asyncio.CancelledError:\n            raise\n" in fix_text(text).text


def test_a_character_that_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    """A frame's escape stays one where its character cannot be written; the report says what is written."""
    path = tmp_path / "feed.py"
    text = f"# -*- coding: latin-1 -*-\n{HEAD}\ndef endpoint(request):\n    {ANSWER}{END}"
    path.write_text(text.replace("data: 1", "data: \\u20ac é").replace(", headers=headers", ""), encoding="latin-1")
    report = fix([path], write=True)
    assert path.read_text(encoding="latin-1") == report.files[0].after
    assert 'yield "\\u20ac é"' in report.files[0].after
    assert not fix([path]).changed


def test_a_file_that_is_nested_too_deeply_stops_no_other(tmp_path: Path) -> None:
    """It is told of as unreadable and stays, and the files before and after it are rewritten."""
    text = f"{HEAD}\ndef endpoint(request):\n    {ANSWER.replace(', headers=headers', '')}{END}"
    deep = f"{text}\nx = {'1+' * 1200}1\n"
    for name, source in {"a.py": text, "b.py": deep, "c.py": text}.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    assert ["b.py" in text for text in check([tmp_path]).unreadable] == [True]
    report = fix([tmp_path], write=True)
    assert [Path(file.path).name for file in report.changed] == ["a.py", "c.py"]
    assert ["b.py" in text for text in report.unreadable] == [True]
    assert (tmp_path / "b.py").read_text(encoding="utf-8") == deep


@pytest.mark.parametrize("shadow", ["asyncio = None", "for asyncio in ():\n        pass"])
def test_a_name_that_is_something_else_in_the_generator_is_not_used(shadow: str) -> None:
    """Where `asyncio` is another thing as well, nothing is awaited from it."""
    text = f"""\
import asyncio
import time
from unbroken import EventSourceResponse


async def events():
    {shadow}
    time.sleep(1)
    yield "x"


def endpoint(request):
    return EventSourceResponse(events())
"""
    fixed = fix_text(text)
    assert fixed.text == text
    assert "SSE007" in [left.finding.code for left in fixed.left]
    assert ast.parse(fixed.text)
