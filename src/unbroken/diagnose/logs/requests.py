"""The request that a traceback belongs to, by the access lines in its neighbourhood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from unbroken.diagnose.logs.lines import Line, dated, parse_line
from unbroken.diagnose.logs.routes import Access, access_in, route_in

__all__ = ["SWITCHED", "Request", "lines_before", "request_before"]

WINDOW: Final = 1 << 14
"""Bytes before a traceback in which its request is looked for."""
REQUESTS: Final = 8
"""Requests before a traceback that are considered."""
HINTS: Final = (b'"GET ', b'"POST ', b'"HEAD ', b'"path"', b'"uri"', b'"url"')
SWITCHED: Final = 101
"""The status of a request that became a WebSocket."""
METHODS_OF_STREAMS: Final = frozenset({"GET", "POST"})


@dataclass(frozen=True, slots=True)
class Request:
    """The request of a traceback, as far as the log tells."""

    route: str | None = None
    certain: bool = False
    """No other request comes into question."""
    time: datetime | None = None


def lines_before(buffer: bytes, position: int, worker: str, count: int) -> list[Line]:
    """Return the last `count` lines of `worker` before `position`, in their order."""
    found: list[Line] = []
    for raw in _raw_lines(buffer, position):
        line = parse_line(raw)
        if line.worker == worker:
            found.append(dated(line))
        if len(found) == count:
            break
    return found[::-1]


def request_before(buffer: bytes, position: int, worker: str, before: list[Line]) -> Request:
    """Return the request of a traceback that begins at `position`.

    What its logger's line names is its own, and so is the request right before
    that line. Else it is the only one there is: where several come into question,
    the name of none of them tells which it was.
    """
    time = next((line.time for line in reversed(before) if line.time), None)
    if before and (route := route_in(before[-1])):
        return Request(route, certain=True, time=time)
    routes = {access.route for access in _requests(buffer, position, worker)}
    nearest = next((access for line in reversed(before) if (access := access_in(line))), None)
    if nearest is not None and nearest.status == SWITCHED:
        return Request(time=time)
    if nearest is not None and _may_fail(nearest):
        # Certain only if nothing else was under way, since a stream may fail long after its line.
        return Request(nearest.route, certain=routes == {nearest.route}, time=time)
    return Request(next(iter(routes)), certain=True, time=time) if len(routes) == 1 else Request(time=time)


def _requests(buffer: bytes, position: int, worker: str) -> Iterator[Access]:
    """Yield the requests that may be under way, the nearest first."""
    seen = 0
    for raw in _hinted_lines(buffer, position):
        line = parse_line(raw)
        access = access_in(line)
        if line.worker != worker or access is None:
            continue
        seen += 1
        if _may_fail(access):
            yield access
        if seen == REQUESTS:
            return


def _may_fail(access: Access) -> bool:
    # What was refused, or is not found, has no traceback of a stream.
    return access.method in METHODS_OF_STREAMS and (access.status is None or access.status in (200, 499, 500))


def _hinted_lines(buffer: bytes, position: int) -> Iterator[bytes]:
    """Yield the lines before `position` that may be a request's, the nearest first, as far as the window goes."""
    least = max(0, position - WINDOW)
    starts = {start for hint in HINTS for start in _starts(buffer, hint, least, position)}
    for start in sorted(starts, reverse=True):
        yield buffer[start : buffer.find(b"\n", start)]


def _starts(buffer: bytes, hint: bytes, least: int, end: int) -> Iterator[int]:
    while (found := buffer.rfind(hint, least, end)) >= 0:
        end = buffer.rfind(b"\n", 0, found) + 1
        if end < least:
            return
        yield end


def _raw_lines(buffer: bytes, position: int) -> Iterator[bytes]:
    """Yield the lines before `position`, the nearest first, as far as the window goes."""
    end = position - 1
    least = max(0, position - WINDOW)
    while end > least:
        start = buffer.rfind(b"\n", 0, end) + 1
        if start < least:
            return
        yield buffer[start:end]
        end = start - 1
