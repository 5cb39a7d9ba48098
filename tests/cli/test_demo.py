"""What the demo's server says of its streams is what happened to them."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.cli.demo_process import Demo, quick_demo, running_demo
from tests.cli.demo_reader import Visitor

MAX_AGE = 6.0
SEND_TIMEOUT = 2.0


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Run one demo for all, whose streams live for six seconds."""
    with running_demo(*quick_demo(MAX_AGE)) as demo:
        yield demo


@pytest.mark.parametrize(
    ("deed", "reason", "last_seen", "caught"),
    [
        ("cut", "client_closed", "ClientDisconnected at the exit of while_connected()", True),
        ("freeze", "send_timeout", "ClientDisconnected at a yield", True),
        ("silence", "max_age", "ServerClosing at the exit of while_connected()", True),
        ("raise", "producer_error", "raised AskedToRaiseError itself", False),
    ],
)
def test_with_unbroken(demo: Demo, deed: str, reason: str, last_seen: str, caught: bool) -> None:
    """Whatever is done to it, the stream has its reason, the generator was told, and its cleanup awaited to its end."""
    with Visitor(demo.port) as visitor:
        story, number = visitor.listen("unbroken")
        next(story.events)
        assert visitor.do(deed) == 204
        row = visitor.row(number, lambda row: not row["open"])
        story.close()
    assert (row["reason"], row["saw"][-1], row["caught"]) == (reason, last_seen, caught)
    assert row["cleanup"] == "finished"


def test_closed_by_the_client(demo: Demo) -> None:
    """A generator whose client closes the stream sees what one sees whose connection is cut."""
    with Visitor(demo.port) as visitor:
        story, number = visitor.listen("unbroken")
        next(story.events)
        story.close()
        row = visitor.row(number, lambda row: not row["open"])
    assert (row["reason"], row["caught"], row["cleanup"]) == ("client_closed", True, "finished")


def test_cut_without_unbroken(demo: Demo) -> None:
    """The same generator under StreamingResponse: its `except` is never reached, and its cleanup is cut off."""
    with Visitor(demo.port) as visitor:
        story, number = visitor.listen("starlette")
        next(story.events)
        visitor.do("cut")
        row = visitor.row(number, lambda row: not row["open"])
        story.close()
    assert (row["reason"], row["caught"]) == (None, False)
    assert row["saw"] == ["CancelledError at an await"]
    assert row["cleanup"] == "cut off at its first await by CancelledError"


def test_freeze_without_unbroken(demo: Demo) -> None:
    """The same write under StreamingResponse waits on, long after ours was given up."""
    with Visitor(demo.port) as visitor:
        story, number = visitor.listen("starlette")
        visitor.do("freeze")
        row = visitor.row(number, lambda row: (row["waits"] or 0) > 2 * SEND_TIMEOUT)
        story.close()
    assert row["open"]
    assert row["saw"] == []


def test_story_goes_on_where_it_stopped(demo: Demo) -> None:
    """A reader that says what it has heard gets what comes after it."""
    with Visitor(demo.port) as visitor:
        story, _ = visitor.listen("unbroken", after=2)
        event = next(event for event in story.events if event.event == "message")
        story.close()
    assert (event.last_event_id, event.data) == ("3", "was")


def test_old_stream_stays_as_it_was_hurt(demo: Demo) -> None:
    """What is done next is done to the page's present stream, not to an older one that was frozen."""
    with Visitor(demo.port) as visitor:
        frozen, number = visitor.listen("starlette")
        visitor.do("freeze")
        cut, second = visitor.listen("starlette")
        visitor.do("cut")
        visitor.row(second, lambda row: not row["open"])
        assert visitor.row(number, lambda row: True)["open"]
        frozen.close()
        cut.close()


def test_shown_code_runs(demo: Demo) -> None:
    """The page gets the source of the very functions that serve it, and they differ as it claims."""
    with Visitor(demo.port) as visitor:
        ours, theirs = ("".join(visitor.code[through]) for through in ("unbroken", "starlette"))
    assert "async with while_connected():" in ours
    assert "return EventSourceResponse(" in ours
    assert "while_connected" not in theirs
    assert "return StreamingResponse(" in theirs


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/story/unbroken?visitor=nobody"),
        ("GET", "/story/unbroken"),
        ("POST", "/visit/nobody/cut"),
        ("GET", "/app.py"),
        ("GET", "/../app.py"),
    ],
)
def test_unknown(demo: Demo, method: str, path: str) -> None:
    """A page that is not open has no stream and can hurt none, and only the page's own files are served."""
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=10)
    try:
        connection.request(method, path)
        assert connection.getresponse().status == 404
    finally:
        connection.close()


def test_unknown_deed(demo: Demo) -> None:
    """A deed that does not exist is refused."""
    with Visitor(demo.port) as visitor:
        assert visitor.do("explode") == 404
