"""What is known of httpx2 and httpx: requests as they leave, and clients that can be given."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import httpx2
import pytest

from unbroken.client import EventSource, OutgoingRequest, SyncEventSource
from unbroken.client.http import HTTP, without_secrets
from unbroken.errors import ConfigurationError, UnbrokenError

LIBRARIES = [httpx, httpx2]


@pytest.fixture(params=LIBRARIES, ids=["httpx", "httpx2"])
def http(request: pytest.FixtureRequest) -> HTTP:
    """Return what is known of each library, with a client of it."""
    return HTTP(request.param.Client(), None, is_async=False)


def built(http: HTTP, **parts: Any) -> Any:
    """Return the library's request for these parts."""
    defaults: dict[str, Any] = {
        "method": "GET",
        "url": "http://h/a?b=1",
        "last_event_id": "",
        "params": {},
        "headers": {},
    }
    return http.build(OutgoingRequest(**(defaults | parts)), connect_timeout=1, read_timeout=2)


def test_the_headers_of_a_request(http: HTTP) -> None:
    """It accepts an event stream, uncached and uncompressed; without a place it names none; its times are its own."""
    request = built(http)
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["cache-control"] == "no-store"
    assert request.headers["accept-encoding"] == "identity"
    assert "last-event-id" not in request.headers
    assert request.extensions["timeout"] == {"connect": 1, "read": 2, "write": 1, "pool": 1}


def test_the_callers_headers_win(http: HTTP) -> None:
    """Whatever their case."""
    request = built(http, headers={"ACCEPT": "*/*", "Accept-Encoding": "gzip", "X": "1"})
    assert request.headers.get_list("accept") == ["*/*"]
    assert (request.headers["accept-encoding"], request.headers["x"]) == ("gzip", "1")


@pytest.mark.parametrize(
    "headers",
    [{"X": "secret\n"}, {"X": "secr€t"}, {"X": 5}, {"X y": "secret"}, {"": "secret"}, {"X\n": "secret"}],
    ids=["line", "text", "number", "name", "no name", "name with line"],
)
def test_a_header_that_cannot_be_sent_is_named(http: HTTP, headers: dict[str, str]) -> None:
    """A token that was read together with the end of its line is no fault of the network; its value stays unsaid."""
    with pytest.raises(ConfigurationError, match="header") as raised:
        built(http, headers=headers)
    assert "secr" not in str(raised.value)


@pytest.mark.parametrize("parts", [{"method": "GE T"}, {"json": {1, 2}}, {"content": object()}])
def test_what_cannot_be_sent_is_refused(http: HTTP, parts: dict[str, Any]) -> None:
    """As an argument that cannot work, and not tried again."""
    with pytest.raises(ConfigurationError):
        built(http, **parts)


def test_a_place_of_the_callers_gives_way(http: HTTP) -> None:
    """A header of the caller's is for the beginning: two would leave it to the server which one counts."""
    asked = {"headers": {"Last-Event-ID": "5"}}
    assert built(http, **asked).headers.get_list("last-event-id") == ["5"]
    assert built(http, **asked, last_event_id="8").headers.get_list("last-event-id") == ["8"]


def test_params_are_added_to_the_query(http: HTTP) -> None:
    """What the URL has stays."""
    assert str(built(http, params={"c": "2"}).url) == "http://h/a?b=1&c=2"
    assert str(built(http).url) == "http://h/a?b=1"


@pytest.mark.parametrize(
    ("last_event_id", "sent"),
    [("7", b"7"), ("ü€", "ü€".encode()), (" a\tb ", b"a\tb"), ("a" * 9000, b"a" * 9000)],
    ids=["plain", "utf-8", "spaces", "long"],
)
def test_the_place_is_sent_as_utf8(http: HTTP, last_event_id: str, sent: bytes) -> None:
    """WHATWG 9.2.3: `Last-Event-ID` is the ID in UTF-8; spaces around it no header keeps."""
    raw = built(http, last_event_id=last_event_id).headers.raw
    assert [value for name, value in raw if name.lower() == b"last-event-id"] == [sent]


@pytest.mark.parametrize("last_event_id", ["a\x01b", "\x7f", "a\x1bb"])
def test_a_place_that_no_header_holds_is_told(http: HTTP, last_event_id: str, caplog: pytest.LogCaptureFixture) -> None:
    """A control character would make the request impossible; that it is left out is in the log."""
    with caplog.at_level(logging.WARNING, "unbroken.client"):
        request = built(http, last_event_id=last_event_id)
    assert "last-event-id" not in request.headers
    assert "http://h/a: the last event ID" in caplog.text


@pytest.mark.parametrize("url", ["http://[::1", "http://a\nb/", "http://h:port/"])
def test_a_url_that_is_none_is_refused(http: HTTP, url: str) -> None:
    """As an argument that cannot work."""
    with pytest.raises(ConfigurationError):
        built(http, url=url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://127.0.0.1:port/", "http://[::1"])
def test_a_port_that_is_none_is_refused(url: str) -> None:
    """When the client is made."""
    with pytest.raises(ConfigurationError, match="no port"):
        EventSource(url)


@pytest.mark.parametrize("scheme", ["ftp://h/", "h", ""])
def test_a_scheme_without_streams_is_refused(scheme: str) -> None:
    """It is not tried again and again."""
    with pytest.raises(ConfigurationError), SyncEventSource(scheme):
        pass


@pytest.mark.parametrize("client", [5, object(), httpx2.AsyncClient(), httpx.AsyncClient()])
def test_a_client_of_another_kind_is_refused(client: Any) -> None:
    """Also an asynchronous one, where nothing can be awaited."""
    with pytest.raises(ConfigurationError, match=r"httpx2\.Client"), SyncEventSource("http://h/", client=client):
        pass


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@h:80/a/b?token=x#y", "http://h:80/a/b"),
        ("https://h", "https://h"),
        ("http://a@b@h/p@q", "http://h/p@q"),
        ("/feed?token=x", "/feed"),
        ("/feed?next=http://me@h/", "/feed"),
    ],
)
def test_messages_have_no_secrets(url: str, shown: str) -> None:
    """A URL is shown without what may let somebody in."""
    assert without_secrets(url) == shown


def test_nothing_of_a_url_is_told_in_an_error() -> None:
    """Neither of its password nor of its query, in the text or in what is logged."""
    with (
        pytest.raises(UnbrokenError) as raised,
        SyncEventSource("http://me:secret@127.0.0.1:9/?k=secret", reconnect="never"),
    ):
        pass
    assert "secret" not in str(raised.value)
    assert EventSource("http://h/?k=1").url == "http://h/?k=1"
