"""Requests as logs tell of them: route, status, duration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from unbroken.diagnose.logs.lines import Line
from unbroken.diagnose.logs.times import time_in
from unbroken.observe.text import printable

__all__ = ["Access", "access_in", "looks_like_stream", "may_stream", "normalised", "route_in", "speaks_of_stream"]

METHODS: Final = "GET|POST|HEAD|PUT|DELETE|PATCH|OPTIONS"
REQUEST: Final = re.compile(
    rf'"?\b({METHODS}) ((?:/|https?://)\S*?)(?: (?:HTTP/)?[\d.]+)?"(?:,? (?:status=)?(\d{{3}}|-)(?![\d.:]))?(.*)'
)
"""The request line in quotes, and what follows it."""
NAMED: Final = re.compile(r'\b(?:path|uri|url|request_uri|route)[=:]\s?"?(/[^\s",]*)|request: "(?:\w+) (\S+)')
OURS: Final = re.compile(rf"(?:{METHODS}) (/\S*?)(?::? |$)")

STREAM_WORD: Final = re.compile(
    r"(?:^|[/_-])(?:sse|streams?|streaming|events?|event-?stream|eventsource|subscri(?:be|ptions?)|completions)(?:$|[/_.?-])",
    re.IGNORECASE,
)
STREAM_NAME: Final = re.compile(
    r"(?:^|[/_-])(?:chat|feeds?|live|updates?|notifications?|notify|prices?|quotes?|ticks?|ticker|tail|logs?|progress|"
    r"watch|listen|realtime|messages|generate|mcp)(?:$|[/_?-])",
    re.IGNORECASE,
)
"""What streams are also called, and much else is."""
FILE: Final = re.compile(r"\.[A-Za-z]\w{1,4}$|(?:^|[/_-])(?:exports?|downloads?|reports?|files?|backups?)(?:$|[/_?-])")
STREAM_TEXT: Final = re.compile(
    r"event.?stream|EventSource|StreamingResponse|stream_response|sse_starlette|\bsse\b", re.IGNORECASE
)

ID: Final = re.compile(
    r"^(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|(?=\D*\d)[0-9a-f]{8,}|(?=\D*\d)[0-9A-Za-z_-]{20,}|\S{80,})$", re.IGNORECASE
)

NAMED_DURATION: Final = re.compile(
    r"\b(?:rt|request_time|duration|elapsed|response_time|took|time_taken|latency)(_ms)?[\"']?[=: ]\s?[\"']?"
    r"(\d{1,15}(?:\.\d{1,15})?)\s?(ms|us|µs|s)?\b"
)
LAST_NUMBER: Final = re.compile(r"(?:^|\s)\"?(\d{1,15}(?:\.\d{1,15})?)\"?\s*$")
SIZE: Final = re.compile(r"^ (\d{1,15})(?= |$)")
ENVOY: Final = re.compile(r"^ [-A-Z,]+ (?:\S+ \S+ \"[^\"]*\" )?\d{1,15} (\d{1,15}) (\d{1,15}) ")
HAPROXY: Final = re.compile(r" \d{1,10}/\d{1,10}/\d{1,10}/\d{1,10}/\+?(\d{1,10}) (\d{3}) \+?(\d{1,15}) ")
ALB: Final = re.compile(r"^(?:https?|h2) (\S+Z) app/.{0,500}? (\d{3}) \S{1,10} \d{1,15} (\d{1,15}) \"")
CREATED: Final = re.compile(r" \d{1,10} (\d{4}-\d\d-\d\dT[\d:.]{1,20}Z) \"")
UNITS: Final = {"ms": 1e-3, "us": 1e-6, "µs": 1e-6, "s": 1.0}
DURATIONS: Final = (
    ("request_time", 1.0), ("duration_ms", 1e-3), ("durationMs", 1e-3), ("response_time_ms", 1e-3),
    ("elapsed_ms", 1e-3), ("duration", 1.0), ("elapsed", 1.0), ("response_time", 1.0),
)  # fmt: skip
LONGEST_ROUTE: Final = 200


@dataclass(frozen=True, slots=True)
class Access:
    """One request of an access log."""

    method: str
    route: str
    status: int | None
    seconds: float | None
    """Its whole duration, where the log has it."""
    sent_bytes: int | None


def normalised(path: str) -> str:
    """Return the route of `path`: without host and query, with `{id}` for what looks like one."""
    try:
        plain = urlsplit(path).path if "://" in path else path.partition("?")[0].partition("#")[0]
    except ValueError:
        plain = path
    segments = ("{id}" if ID.match(segment) else segment for segment in plain.split("/"))
    return printable("/".join(segments) or "/", LONGEST_ROUTE)


def looks_like_stream(route: str | None) -> bool:
    """Say whether the route's words name a stream."""
    return route is not None and STREAM_WORD.search(route) is not None


def may_stream(route: str | None) -> bool:
    """Say whether the route has a name that streams often have. Enough where it is known that it sent a long body."""
    if route is None or FILE.search(route):
        return False
    return looks_like_stream(route) or STREAM_NAME.search(route) is not None


def speaks_of_stream(text: str) -> bool:
    """Say whether a line names a stream, or code that sends one."""
    return STREAM_TEXT.search(text) is not None


def route_in(line: Line) -> str | None:
    """Return the route that a line names, of whatever kind the line is."""
    access = access_in(line)
    if access is not None:
        return access.route
    found = NAMED.search(line.text) or OURS.search(line.text)
    return normalised(next(filter(None, found.groups()))) if found else None


def access_in(line: Line) -> Access | None:
    """Return the request that a line of an access log tells of, or None."""
    found = REQUEST.search(line.text)
    if found is None:
        return _of_fields(line.fields)
    method, path, status, rest = found.groups()
    seconds, sent = _durations(line, rest or "")
    if haproxy := HAPROXY.search(line.text):
        seconds, status, sent = int(haproxy[1]) / 1000, haproxy[2], int(haproxy[3])
    elif alb := ALB.match(line.text):
        seconds, status, sent = _alb_seconds(line.text, alb[1]), alb[2], int(alb[3])
    return Access(method, normalised(path), int(status) if status and status != "-" else None, seconds, sent)


def _durations(line: Line, rest: str) -> tuple[float | None, int | None]:
    """Return the duration and the bytes sent, out of what follows the status."""
    if envoy := ENVOY.match(rest):
        return int(envoy[2]) / 1000, int(envoy[1])
    sent = SIZE.match(rest)
    size = int(sent[1]) if sent else None
    if named := NAMED_DURATION.search(rest):
        unit = 1e-3 if named[1] else UNITS[named[3] or "s"]
        return float(named[2]) * unit, size
    last = LAST_NUMBER.search(rest)
    if last is None or (size is not None and last[1] == sent[1] and last.start() == 0 and "." not in last[1]):  # type: ignore[index]
        return None, size
    return _unnamed(last[1], line.text, bare=last.start() == 0), size


def _unnamed(number: str, text: str, *, bare: bool) -> float | None:
    """Return the seconds of a number that ends a line, as servers write it there."""
    if bare and text.startswith("["):
        return float(number) / 1000  # granian: milliseconds, right after the status
    if "." in number:
        return float(number)  # nginx's $request_time, hypercorn's %(L)s
    return int(number) / 1e6 if len(number) > 6 else None  # %(D)s: microseconds


def _alb_seconds(text: str, ended: str) -> float | None:
    # What it calls times are those until the first byte; only the request's creation tells how long a stream was.
    created = CREATED.search(text)
    begin, end = time_in(created[1]) if created else None, time_in(ended)
    return (end - begin).total_seconds() if begin and end else None


def _of_fields(fields: Mapping[str, Any]) -> Access | None:
    if not fields:
        return None
    if isinstance(fields.get("request"), dict):  # Caddy
        fields = {**fields, **fields["request"]}
    path = next(
        (
            fields[name]
            for name in ("path", "uri", "url", "request_uri", "http.path")
            if isinstance(fields.get(name), str)
        ),
        None,
    )
    if not path or not path.startswith(("/", "http")):
        return None
    method = next(
        (fields[name] for name in ("method", "request_method", "http.method") if isinstance(fields.get(name), str)),
        "GET",
    )
    status = _whole(fields.get("status", fields.get("status_code")))
    size = _whole(fields.get("body_bytes_sent", fields.get("size", fields.get("bytes"))))
    return Access(method, normalised(path), status, _seconds(fields), size)


def _seconds(fields: Mapping[str, Any]) -> float | None:
    for name, unit in DURATIONS:
        if (value := _number(fields.get(name))) is not None:
            return value * unit
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and 0 <= number < 1e15 else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
