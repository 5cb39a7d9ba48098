"""The protocol class beside uvicorn's own: what it refuses, what it leaves as it was, and where it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

import pytest

from tests.servers.direct_server import PROTOCOL, Client, serving
from unbroken.errors import ConfigurationError

pytest.importorskip("uvicorn")
pytest.importorskip("httptools")
pytest.importorskip("uvloop")

REFUSED = MappingProxyType(
    {
        "HTTP/1.0": b"GET /completing HTTP/1.0\r\nhost: a\r\n\r\n",
        "HEAD": b"HEAD /completing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "a length": b"GET /sized HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "before the start, and after the end": b"GET /early HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "a request behind": b"GET /completing HTTP/1.1\r\nhost: a\r\n\r\n"
        b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "half a body": b"POST /completing HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nhalf",
        "an upgrade": b"GET /completing HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n",
    }
)

UNTOUCHED = MappingProxyType(
    {
        "keep-alive": b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\none",
        "pipelining": b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntwo"
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n",
        "no keep-alive": b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfour",
        "HTTP/1.0": b"POST /echo HTTP/1.0\r\nhost: a\r\ncontent-length: 4\r\n\r\nfive",
        "no HTTP": b"\x16\x03\x01 is no request\r\n\r\n",
        "a failing application": b"GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "a WebSocket": b"GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    }
)

GOES_ON = MappingProxyType({"keep-alive": b"one", "pipelining": b"three"})
"""What an answer ends with after which the connection stays open, and serves the next request too."""

WEBSOCKET_CLOSE, WEBSOCKET_CLOSED = b"\x88\x02\x03\xe8", b"\x88\x82\0\0\0\0\x03\xe8"
"""Code 1000, from the server and, with a mask, from the client."""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_where_it_cannot_be_the_response_goes_on_through_asgi(loop: str) -> None:
    """`attach` says so and leaves everything as it was: what comes is what stock uvicorn sends."""
    received = {}
    for http in (PROTOCOL, "httptools"):
        with serving(loop, http=http, warns=("Unsupported upgrade request.",)) as server:
            received[http] = {name: ask(server.port, request) for name, request in REFUSED.items()}
        assert [stream.direct is not None for stream in server.app.streams] == [http == PROTOCOL] * len(REFUSED)
        assert [stream.attached for stream in server.app.streams] == [False] * len(REFUSED)
        assert [stream.told for stream in server.app.streams] == [[]] * len(REFUSED)
    assert received[PROTOCOL] == received["httptools"]
    assert {answer[:15] for answer in received[PROTOCOL].values()} == {b"HTTP/1.1 200 OK"}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_is_no_stream_is_served_as_ever(loop: str) -> None:
    """Byte for byte what uvicorn's own class answers: keep-alive, pipelining, uploads, WebSockets, what is no HTTP."""
    received = {}
    warns = ("Invalid HTTP request received.", "Exception in ASGI application\n")
    for http in (PROTOCOL, "httptools"):
        with serving(loop, http=http, warns=warns, ws="wsproto") as server:
            received[http] = {name: ask_on(server.port, name) for name in UNTOUCHED}
            received[http]["a large upload"] = upload(server.port, b"x" * 1_000_000)
    assert received[PROTOCOL] == received["httptools"]
    assert received[PROTOCOL]["pipelining"].count(b"HTTP/1.1 200 OK") == 3
    assert received[PROTOCOL]["a WebSocket"].startswith(b"HTTP/1.1 101 ")
    assert received[PROTOCOL]["a large upload"].startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert received[PROTOCOL]["a large upload"].endswith(b"x" * 1_000_000)


def ask(port: int, request: bytes) -> bytes:
    """Return all that a connection answers until it closes."""
    client = Client(port)
    client.send(request)
    return client.read_to_end()


def ask_on(port: int, name: str) -> bytes:
    """Return what a connection answers, and what to a second request, where it goes on."""
    client = Client(port)
    client.send(UNTOUCHED[name])
    if name in GOES_ON:
        client.read_until(GOES_ON[name])
        client.send(UNTOUCHED["no keep-alive"])
    if name == "a WebSocket":
        client.read_until(WEBSOCKET_CLOSE)
        client.send(WEBSOCKET_CLOSED)
    return client.read_to_end()


def upload(port: int, body: bytes) -> bytes:
    """Send a body when the server asks for it."""
    client = Client(port)
    head = f"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {len(body)}"
    client.send(f"{head}\r\n\r\n".encode())
    client.read_until(b"100 Continue\r\n\r\n")
    client.send(body)
    return client.read_to_end()


def run(code: str) -> str:
    """Run code in an interpreter of its own, and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30).stdout


def test_nothing_imports_uvicorn_before_the_class_is_asked_for() -> None:
    """The package works where uvicorn is not installed."""
    code = "import sys, unbroken.servers.uvicorn; print({'uvicorn', 'httptools'} & {*sys.modules})"
    assert run(code) == "set()\n"


@pytest.mark.parametrize("library", ["uvicorn", "httptools"])
def test_without_its_libraries_it_says_what_to_install(library: str) -> None:
    """At the start of the server, not at the first request."""
    code = f"""
import sys
sys.modules[{library!r}] = None
from unbroken.errors import MissingExtraError
import unbroken.servers.uvicorn as package
try:
    package.EventStreamProtocol
except MissingExtraError as error:
    print(error.library, error.extra)
"""
    assert run(code) == f"{library} uvicorn\n"


def test_a_uvicorn_that_is_too_different_is_named() -> None:
    """What its classes lack is found when ours is made, and told with the version."""
    from unbroken.servers.uvicorn.protocol import check_uvicorn

    class Protocol:
        def __init__(self) -> None:
            self.flow = None

        def pause_writing(self) -> None: ...

    check_uvicorn(Protocol, ("flow", "pause_writing"))
    with pytest.raises(ConfigurationError, match=r"^uvicorn [0-9.]+ has no cycle, parser in its Protocol, which "):
        check_uvicorn(Protocol, ("flow", "cycle", "pause_writing", "parser"))


def test_a_name_that_the_package_has_not_is_no_attribute() -> None:
    """So that uvicorn says which one was misspelt."""
    import unbroken.servers.uvicorn as package

    assert not hasattr(package, "EventSteamProtocol")
