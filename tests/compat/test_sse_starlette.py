"""`unbroken.compat.sse_starlette` beside sse-starlette itself: names, arguments, headers, bytes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import unbroken.compat.sse_starlette as ours
import unbroken.wire
from tests.compat.support import items, outcome, parameters, public_names, read
from unbroken.errors import EncodeError

THEIRS = pytest.importorskip("sse_starlette.sse")
EVENT = pytest.importorskip("sse_starlette.event")

MODULES = ["", ".sse", ".event"]
CLASSES = ["EventSourceResponse.__init__", "ServerSentEvent.__init__", "JSONServerSentEvent.__init__", "ensure_bytes"]

Make = Callable[[Any], Any]

LIBRARIES = [
    SimpleNamespace(
        EventSourceResponse=sse.EventSourceResponse,
        ServerSentEvent=event.ServerSentEvent,
        JSONServerSentEvent=event.JSONServerSentEvent,
        ensure_bytes=event.ensure_bytes,
    )
    for sse, event in ((THEIRS, EVENT), (ours, ours))
]

ITEMS: dict[str, Make] = {
    "str": lambda m: "hello",
    "empty str": lambda m: "",
    "str of lines": lambda m: "a\nb\r\nc\rd\n",
    "str with other line ends": lambda m: "a\x0bb\x0cc\x85d\u2028e",
    "wire text is data": lambda m: "data: x\n\n",
    "not ASCII": lambda m: "h\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}",
    "bytes": lambda m: b"data: frame\n\n",
    "memoryview": lambda m: memoryview(b"data: view\n\n"),
    "bytearray": lambda m: bytearray(b"x"),
    "None": lambda m: None,
    "int": lambda m: 7,
    "float": lambda m: float("nan"),
    "list": lambda m: [1, "a"],
    "dict of fields": lambda m: {"data": "x", "event": "e", "id": "1", "retry": 5, "comment": "c"},
    "dict of dict": lambda m: {"data": {"a": 1}},
    "dict with None": lambda m: {"data": None, "id": "1"},
    "dict with sep": lambda m: {"data": "x", "sep": "\r"},
    "empty dict": lambda m: {},
    "event": lambda m: m.ServerSentEvent("x"),
    "event without fields": lambda m: m.ServerSentEvent(),
    "event with all fields": lambda m: m.ServerSentEvent("x\ny", event="e", id="1", retry=5, comment="c\rd"),
    "event with empty fields": lambda m: m.ServerSentEvent("", event="", id="", retry=0, comment=""),
    "event of object": lambda m: m.ServerSentEvent({"a": [1]}),
    "event with LF": lambda m: m.ServerSentEvent("x", sep="\n"),
    "event with CR": lambda m: m.ServerSentEvent("x\ny", id="1", sep="\r"),
    "line ends in id and event": lambda m: m.ServerSentEvent("x", id="1\ndata: evil", event="e\r\nid: 2\r"),
    "int as comment": lambda m: m.ServerSentEvent(comment=5),
    "comment alone": lambda m: m.ServerSentEvent(comment="keep\nalive"),
    "retry alone": lambda m: m.ServerSentEvent(retry=3000),
    "JSON event": lambda m: m.JSONServerSentEvent({"a": [1, None, "h\N{LATIN SMALL LETTER E WITH ACUTE}\n"]}, id="1"),
    "JSON event of None": lambda m: m.JSONServerSentEvent(None, event="e"),
    "JSON event of str": lambda m: m.JSONServerSentEvent("text", sep="\n"),
}

FAILURES: dict[str, Make] = {
    "dict with another key": lambda m: {"data": "x", "foo": 1},
    "int as id": lambda m: m.ServerSentEvent("x", id=5),
    "int as event": lambda m: m.ServerSentEvent("x", event=5),
    "str as retry": lambda m: m.ServerSentEvent("x", retry="5"),
    "float as retry": lambda m: m.ServerSentEvent("x", retry=1.5),
    "lone surrogate": lambda m: "\ud800",
}


@pytest.fixture(autouse=True)
def _no_exit() -> Iterator[None]:
    # sse-starlette's switch belongs to the process, and a server that stopped in it leaves it on.
    THEIRS.AppStatus.should_exit = False
    yield
    THEIRS.AppStatus.should_exit = False


@pytest.mark.parametrize("name", MODULES)
def test_every_name_is_there(name: str) -> None:
    """What can be imported from sse-starlette can be imported from the module of the same name in here."""
    theirs = importlib.import_module(f"sse_starlette{name}")
    mine = importlib.import_module(f"unbroken.compat.sse_starlette{name}")
    names = {*getattr(theirs, "__all__", ()), *public_names(theirs)}
    assert names - set(vars(mine)) == set()
    assert names - {"LINE_ENDS"} <= set(mine.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_the_arguments_are_the_same(name: str) -> None:
    """Names, order, kinds and defaults, so that every call goes through as it is."""

    def find(module: Any) -> Any:
        target = module
        for part in name.split("."):
            target = getattr(target, part)
        return target

    theirs, mine = (parameters(find(library)) for library in LIBRARIES)
    assert mine == theirs


def test_the_class_attributes_are_the_same() -> None:
    """Subclasses that set the defaults find the same ones."""
    for name in ("DEFAULT_PING_INTERVAL", "DEFAULT_SEPARATOR", "DEFAULT_CLEANUP_TIMEOUT"):
        assert getattr(ours.EventSourceResponse, name) == getattr(THEIRS.EventSourceResponse, name)
    assert ours.ServerSentEvent.DEFAULT_SEPARATOR == EVENT.ServerSentEvent.DEFAULT_SEPARATOR


@pytest.mark.parametrize("sep", ["\r\n", "\n", "\r"], ids=["CRLF", "LF", "CR"])
@pytest.mark.parametrize("name", ITEMS)
def test_an_item_has_the_same_bytes(name: str, sep: str) -> None:
    """Each kind of item, with each line end, is encoded to the same bytes."""
    theirs, mine = (library.ensure_bytes(ITEMS[name](library), sep) for library in LIBRARIES)
    assert mine == theirs


@pytest.mark.parametrize("name", FAILURES)
def test_what_cannot_be_encoded_fails_alike(name: str) -> None:
    """The exception is of the same type, for code that catches it."""

    def failure(library: Any) -> type[BaseException]:
        with pytest.raises((TypeError, ValueError)) as caught:
            library.ensure_bytes(FAILURES[name](library), "\n")
        return caught.type

    theirs, mine = map(failure, LIBRARIES)
    assert mine is theirs


@pytest.mark.parametrize("sep", [None, "\n"])
def test_a_stream_has_the_same_bytes_and_headers(sep: str | None) -> None:
    """A whole response of all kinds of items is the same, but for the `Connection` header."""

    def serve(library: Any) -> Any:
        content = items(*(make(library) for make in ITEMS.values()))
        return read(library.EventSourceResponse(content, sep=sep))

    theirs, mine = map(serve, LIBRARIES)
    assert outcome(mine) == outcome(theirs)
    assert "connection" not in mine.headers


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {"Cache-Control": "public", "X-Accel-Buffering": "yes", "X-A": "b"}},
        {"status_code": 202},
        {"media_type": "text/plain"},
        {"headers": {"Content-Type": "text/event-stream"}},
    ],
    ids=str,
)
def test_status_and_headers_are_the_same(arguments: dict[str, Any]) -> None:
    """What the caller gives is weighed against the defaults as before."""
    theirs, mine = (read(library.EventSourceResponse(items("x"), **arguments)) for library in LIBRARIES)
    assert outcome(mine) == outcome(theirs)


def test_a_list_and_a_synchronous_generator_have_the_same_bytes() -> None:
    """Synchronous content is taken as well."""
    for content in (["a", {"data": "b"}], ("x", b"y")):
        theirs, mine = (read(library.EventSourceResponse(iter(content))) for library in LIBRARIES)
        assert outcome(mine) == outcome(theirs)


@pytest.mark.parametrize(
    "arguments",
    [{"sep": "x"}, {"ping": -1}, {"ping": "15"}, {"shutdown_grace_period": -1}, {"cleanup_timeout": -1}],
    ids=str,
)
def test_wrong_arguments_fail_alike(arguments: dict[str, Any]) -> None:
    """A wrong argument raises what it raised before, when the response is made."""
    for library in LIBRARIES:
        with pytest.raises(TypeError if arguments.get("ping") == "15" else ValueError):
            library.EventSourceResponse([], **arguments)


@pytest.mark.parametrize(
    "fields",
    [{"id": "1\0"}, {"event": "\0"}, {"retry": -1}, {"retry": True}],
    ids=str,
)
def test_what_clients_would_not_understand_is_refused(fields: dict[str, Any]) -> None:
    """NUL in an id or a type and a negative or boolean retry, which sse-starlette sends, raise `EncodeError`."""
    assert EVENT.ServerSentEvent("x", **fields).encode()
    with pytest.raises(EncodeError):
        ours.ServerSentEvent("x", **fields).encode()


def test_a_separator_that_ends_no_line_is_refused() -> None:
    """An event whose lines would run into each other is not made."""
    with pytest.raises(EncodeError, match="sep="):
        ours.ServerSentEvent("x", sep=" ")


def test_an_event_of_the_main_api_is_taken() -> None:
    """`unbroken.ServerSentEvent` may be mixed in, and has its own bytes."""
    event = unbroken.wire.ServerSentEvent({"a": 1}, id="1")
    assert ours.ensure_bytes(event, "\r\n") == b'id: 1\ndata: {"a":1}\n\n'


def test_an_event_of_the_other_library_is_refused() -> None:
    """An import that was forgotten is told of, where `str()` of the event would have gone out as data."""
    with pytest.raises(EncodeError, match=r"sse_starlette\.event\.ServerSentEvent"):
        ours.ensure_bytes(EVENT.ServerSentEvent("x"), "\n")


def test_uvicorn_is_left_as_it_is() -> None:
    """The module patches nothing: what `uvicorn.Server` does on a signal has no function of ours in it."""
    import uvicorn

    assert not uvicorn.Server.handle_exit.__module__.startswith("unbroken")
