"""Lines, times, routes and durations in the forms in which servers write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from unbroken.diagnose.logs.lines import dated, parse_line
from unbroken.diagnose.logs.modules import APPLICATION, Owner, module_of, owner_of
from unbroken.diagnose.logs.routes import access_in, normalised
from unbroken.diagnose.logs.times import time_in, time_of_number

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "worker", "text"),
    [
        (b"web-1  | INFO:     hi", "web-1", "INFO:     hi"),
        (b"[pod/web-6c9f/app]   File", "[pod/web-6c9f/app]", "  File"),
        (b"2026-11-22T12:00:00.5Z stderr F   | Traceback", "stderr", "  | Traceback"),
        (b"Nov 22 12:00:00 web1 uvicorn[31]: ERROR: x", "uvicorn[31]", "ERROR: x"),
        (b"2026-11-22T12:00:00.123456+00:00 app[web.1]: x", "app[web.1]", "x"),
        (b"2026-11-22T12:00:00Z hello", "", "hello"),
        (b'web-1  | {"log": "a\\n", "stream": "stdout", "time": "2026-11-22T12:00:00Z"}', "web-1", "a"),
        (b"\x1b[32mINFO\x1b[0m:     x\r", "", "INFO:     x"),
        (b"  | not a container", "", "  | not a container"),
        (b'{"not json', "", '{"not json'),
    ],
)
def test_prefixes_are_taken_off_and_remembered(raw: bytes, worker: str, text: str) -> None:
    """What containers and supervisors put before a line tells who speaks, and is no part of what is said."""
    line = parse_line(raw)
    assert (line.worker, line.text) == (worker, text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 12:00:00,000 INFO x",
        "[2026-11-22 12:00:00 +0000] [31] [INFO] x",
        "[2026-11-22 13:00:00 +0100] [31] [INFO] x",
        "2026/11/22 12:00:00 [error] 31#31: x",
        '192.0.2.1 - - [22/Nov/2026:07:00:00 -0500] "GET / HTTP/1.1" 200 1',
        "2026-11-22T12:00:00.000000000Z x",
    ],
)
def test_times_are_read_in_utc(text: str) -> None:
    """A time is the same moment in whatever form and zone it stands; without a zone it is UTC."""
    assert time_in(text) == NOON
    assert dated(parse_line(text)).time == NOON


@pytest.mark.parametrize("value", ["2026-11-22T12:00:00Z", NOON.timestamp(), NOON.timestamp() * 1000])
def test_times_of_json_may_be_numbers(value: object) -> None:
    """Seconds and milliseconds since the epoch are told apart by their size."""
    assert time_of_number(value) == NOON


@pytest.mark.parametrize("text", ["no time", "2026-13-45 99:99:99", "Foo 22 12:00:00 x", "99/Nov/0000:00:00:00"])
def test_what_is_no_time_is_none(text: str) -> None:
    """A day that no calendar has is not an error."""
    assert time_in(text) is None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/events", "/events"),
        ("/users/17/events?last=3", "/users/{id}/events"),
        ("/r/6f1c2f5a-3d3e-4d8e-9a53-1f3c5a7b9d11", "/r/{id}"),
        ("/r/65a1b2c3d4e5f60718293a4b/x", "/r/{id}/x"),
        ("https://example.com:443/stream?a=b", "/stream"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/deadbeef", "/deadbeef"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_a_route_has_no_ids_and_no_query(path: str, route: str) -> None:
    """Requests for the same thing are counted together; a word stays a word."""
    assert normalised(path) == route


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('1.2.3.4 - - [x] "GET /events HTTP/1.1" 200 120 "-" "curl" rt=60.001 uct="0.0"', 60.001),
        ('1.2.3.4 - - [x] "GET /events HTTP/1.1" 200 120 "-" "curl" 60.001', 60.001),
        ('1.2.3.4 - - [x] "GET /events HTTP/1.1" 200 120 "-" "curl" 60001000', 60.001),
        ('1.2.3.4 - "GET /events HTTP/1.1" 200 120 duration_ms=60001', 60.001),
        ('[2026-11-22 12:00:00 +0000] 1.2.3.4 - "GET /events HTTP/1.1" 200 60001.0', 60.001),
        ('INFO:     1.2.3.4:5 - "GET /events HTTP/1.1" 200 OK', None),
        ('1.2.3.4 - - [x] "GET /events HTTP/1.1" 200 120 "-" "curl/8"', None),
        ('1.2.3.4 - - [x] "GET /events HTTP/1.1" 200 120', None),
        ('1.2.3.4:5 - - [22/Nov/2026:23:00:25] "GET /events" 200 -', None),
        ('{"method": "GET", "path": "/events", "status": 200, "duration_ms": 60001}', 60.001),
        ('{"request": {"method": "GET", "uri": "/events"}, "status": 200, "duration": 60.001}', 60.001),
    ],
)
def test_durations_are_read_in_the_units_of_their_servers(text: str, seconds: float | None) -> None:
    """Seconds, milliseconds and microseconds are told apart by who writes them, and a size is no duration."""
    access = access_in(parse_line(text))
    assert access is not None
    assert (access.method, access.route, access.status) == ("GET", "/events", 200)
    assert access.seconds == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("/usr/lib/python3.11/site-packages/uvicorn/protocols/http/h11_impl.py", "uvicorn.protocols.http.h11_impl"),
        (r"C:\app\.venv\Lib\site-packages\starlette\responses.py", "starlette.responses"),
        ("/usr/lib/python3/dist-packages/redis/client.py", "redis.client"),
        ("/usr/lib/python3.13/asyncio/streams.py", "asyncio.streams"),
        ("uvloop/loop.pyx", "uvloop"),
        ("/src/unbroken/stream/response.py", "unbroken.stream.response"),
        ("/app/main.py", APPLICATION),
        ("<string>", APPLICATION),
    ],
)
def test_a_file_tells_its_module(file: str, module: str) -> None:
    """Libraries, Python's own and the application are told apart on any system."""
    assert module_of(file) == module


def test_the_innermost_code_that_is_no_plumbing_has_raised() -> None:
    """asyncio, anyio and h11 raise on behalf of whoever called them."""
    assert owner_of(["starlette.responses", "anyio.streams.memory"]) is Owner.SERVER
    assert owner_of(["starlette.responses", APPLICATION, "asyncio.streams"]) is Owner.APPLICATION
    assert owner_of(["starlette.responses", APPLICATION, "redis.client", "asyncio"]) is Owner.LIBRARY
    assert owner_of(["asyncio.streams"]) is Owner.NOBODY
