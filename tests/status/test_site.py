"""Who may look, and what they get, over a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

from tests.status.support import DEADLINE, Open, entered, made, mounted, record, serving, wait_for
from unbroken.errors import ConfigurationError
from unbroken.observe import attached, open_streams
from unbroken.status import StatusPage
from unbroken.wire import Decoder

ASSETS = ["style.css", "icon.svg", "main.js", "live.js", "charts.js", "table.js", "words.js"]
PATHS = ["", "status.json", "events", *ASSETS, "nothing/there"]


def allow(request: Request) -> bool:
    """Let everybody in."""
    return True


def by_header(request: Request) -> bool:
    """Let in who knows the word."""
    return request.headers.get("authorization") == "open sesame"


async def by_header_later(request: Request) -> bool:
    """Do the same as a coroutine function."""
    return by_header(request)


KNOWN = {"authorization": "open sesame"}


@pytest.fixture(scope="module", params=[by_header, by_header_later])
def guarded_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve a page for which one needs the word, with a stream that shows in it."""
    with entered(Open(path="/private")), made(permission=request.param) as page, serving(mounted(page)) as url:
        page.history.closed(record())
        yield url


@pytest.fixture(scope="module")
def public_url() -> Iterator[str]:
    """Serve a page for everybody."""
    with made(public=True) as page, serving(mounted(page)) as url:
        yield url


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, r"give permission=.*or say public=True"),
        ({"public": False}, r"give permission="),
        ({"public": "yes"}, r"give permission="),
        ({"permission": allow, "public": True}, r"exclude each other"),
        ({"permission": True}, r"permission=True cannot be called"),
        ({"permission": allow, "revalidate_interval": 0}, r"revalidate_interval=0"),
    ],
)
def test_a_page_without_a_clear_word_on_who_may_look_is_not_made(options: dict[str, Any], text: str) -> None:
    """The error says what to give, and nothing is attached."""
    before = attached()
    with pytest.raises(ConfigurationError, match=text):
        StatusPage(**options)
    assert attached() == before


@pytest.mark.parametrize("path", PATHS)
def test_one_without_permission_gets_nothing(guarded_url: str, path: str) -> None:
    """Whatever is asked for, there or not, the answer is the same 403, without a figure."""
    answer = httpx2.get(f"{guarded_url}/streams/{path}")
    assert (answer.status_code, answer.text) == (403, "You have no permission to look at this.\n")
    assert answer.headers["cache-control"] == "no-store"


def test_one_with_permission_gets_the_facts(guarded_url: str) -> None:
    """The same request with the word is answered."""
    facts = httpx2.get(f"{guarded_url}/streams/status.json", headers=KNOWN).json()
    assert "/private" in [stream["path"] for stream in facts["streams"]]
    assert facts["ended"] == {"completed": 1}


def test_a_permission_that_fails_shows_nothing() -> None:
    """Its error is the application's, which answers 500."""

    def fail(request: Request) -> bool:
        raise LookupError("/private is in the message")

    with entered(Open(path="/private")), made(permission=fail) as page, serving(mounted(page)) as url:
        answers = [httpx2.get(f"{url}/streams/{path}") for path in PATHS]
    assert {(answer.status_code, answer.text) for answer in answers} == {(500, "Internal Server Error")}


def test_an_http_exception_of_a_permission_is_answered_as_one() -> None:
    """So it can ask for a password, or send to a login."""

    def ask(request: Request) -> bool:
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})

    with made(permission=ask) as page, serving(mounted(page)) as url:
        answer = httpx2.get(f"{url}/streams/events")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Basic")


def test_a_permission_sees_the_application_around() -> None:
    """Its request is one of the application: its state is there."""

    def by_state(request: Request) -> bool:
        return bool(request.app.state.open)

    with made(permission=by_state) as page:
        app = mounted(page)
        with serving(app) as url:
            app.state.open = False
            assert httpx2.get(f"{url}/streams/").status_code == 403
            app.state.open = True
            assert httpx2.get(f"{url}/streams/").status_code == 200


@pytest.mark.parametrize("path", ["", "status.json", "events", *ASSETS])
def test_nothing_may_come_from_elsewhere(public_url: str, path: str) -> None:
    """Every answer forbids scripts, styles, frames and requests of other origins, and guessing of types."""
    answer = httpx2.request("HEAD", f"{public_url}/streams/{path}")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("path", ["", *ASSETS])
def test_the_page_asks_for_nothing_outside_its_mount(public_url: str, path: str) -> None:
    """No address in it is absolute, so it works under any prefix, also one that a proxy takes away."""
    text = httpx2.get(f"{public_url}/streams/{path}").text.replace("http://www.w3.org/2000/svg", "")
    assert "//" not in text.replace("// ", "")
    assert re.findall(r"""["'(]/\w""", text) == []


def read(url: str, count: int) -> list[tuple[str, Any]]:
    """Read the first events of a stream, with their data."""
    decoder, events = Decoder(), list[tuple[str, Any]]()
    with httpx2.stream("GET", url, timeout=DEADLINE) as response:
        for chunk in response.iter_raw():
            events += [(event.event, json.loads(event.data)) for event in decoder.feed(chunk)]
            if len(events) >= count:
                break
    return events


def test_frames_come_while_somebody_looks(public_url: str) -> None:
    """First what the page must know, then frame after frame; afterwards no stream is left."""
    events = read(f"{public_url}/streams/events", 3)
    assert [name for name, _ in events] == ["welcome", "status", "status"]
    assert events[1][1]["at"] < events[2][1]["at"]
    wait_for(lambda: not [stream for stream in open_streams() if stream.path == "/streams/events"])


@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
def test_its_own_stream_is_one_of_the_streams(root_path: str) -> None:
    """It is listed under the path that it was told, also deep below mounts and behind a root_path."""
    with made(public=True) as page:
        app = Starlette(routes=[Mount("/admin", mounted(page))])
        with serving(app, root_path=root_path) as url:
            (_, welcome), (_, status) = read(f"{url}/admin/streams/events", 2)[:2]
    path, route = (status["columns"].index(name) for name in ("path", "route"))
    assert welcome["path"].endswith("/streams/events")
    assert [row[route] for row in status["streams"] if row[path] == welcome["path"]] == ["/admin/streams/events"]


def no(request: Request) -> bool:
    """Answer no."""
    return False


def forbidden(request: Request) -> bool:
    """Answer no in the other way."""
    raise HTTPException(403)


async def failing(request: Request) -> bool:
    """Answer nothing."""
    raise LookupError("no answer")


@pytest.mark.parametrize("then", [no, forbidden, failing])
def test_a_permission_that_is_withdrawn_ends_the_stream(then: Callable[[Request], bool | Awaitable[bool]]) -> None:
    """Who looks already is asked again; no, and no answer, end the stream with its reason."""
    answers = iter([allow])

    def ask(request: Request) -> bool | Awaitable[bool]:
        return next(answers, then)(request)

    with made(permission=ask, revalidate_interval=0.1) as page, serving(mounted(page)) as url:
        *frames, end = read(f"{url}/streams/events", 10**6)
        assert [name for name, _ in frames[:2]] == ["welcome", "status"]
        assert end == ("stream-end", {"reason": "revoked"})
        wait_for(lambda: page.history.view()["ended"] == {"revoked": 1})


def test_a_page_counts_from_its_making() -> None:
    """It is attached at once, so that an hour is there when somebody comes to look after a trouble."""
    with made(public=True) as page, serving(mounted(page)) as url:
        read(f"{url}/streams/events", 1)
        wait_for(lambda: httpx2.get(f"{url}/streams/status.json").json()["ended"] == {"client_closed": 1})
