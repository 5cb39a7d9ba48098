"""What a line says, without what containers, supervisors and JSON put around it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from unbroken.diagnose.logs.times import time_in, time_of_number

__all__ = ["Line", "dated", "parse_line"]

ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
STAMP: Final = r"\d{4}-\d\d-\d\d[T ][\d:.,]{1,30}(?:Z|[+-]\d\d:?\d\d)?"
SYSLOG: Final = r"[A-Z][a-z]{2}\s+\d{1,2} [\d:]{8}"
LEVEL: Final = r"(?i:TRACE|DEBUG|INFO|NOTICE|SUCCESS|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
"""What stands before a bar in a log's own format, and names no container."""

PREFIXES: Final = (
    re.compile(r"^(?P<worker>\[pod/[^\]\s]{1,300}\]) "),  # kubectl logs --prefix
    re.compile(rf"^(?!{LEVEL}\s*\|)(?P<worker>[A-Za-z0-9][\w.-]{{0,200}})\s*\| "),  # docker compose logs
    re.compile(rf"^(?P<time>{STAMP}) (?P<worker>stdout|stderr) (?P<partial>[FP]) "),  # CRI
    re.compile(rf"^(?P<time>{STAMP}|{SYSLOG}) (?:\S{{1,300}} )?(?P<worker>[\w./@-]{{1,200}}\[[\w.]{{1,50}}\]): "),
    re.compile(rf"^(?P<time>{STAMP}) (?P<worker>[^\s/]{{1,200}}/[^\s/]{{1,200}}/[0-9a-f-]{{8,64}}) "),  # aws logs tail
    re.compile(r"^(?P<time>\d{4}-\d\d-\d\dT[\d:.]{1,30}(?:Z|[+-]\d\d:\d\d)) "),  # docker logs -t, kubectl --timestamps
)
"""What stands before the program's own words, the outermost first; `worker` tells who speaks."""
DEPTH: Final = 4
"""Prefixes and JSON objects in one another."""

MESSAGES: Final = ("message", "msg", "event", "textPayload", "log", "text")
TIMES: Final = ("time", "timestamp", "ts", "asctime", "@timestamp", "datetime", "start_time")
EXCEPTIONS: Final = ("exc_info", "exception", "exc_text", "traceback", "stack_trace", "stack", "stack_info")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log. Of JSON it is the message; `more` has the lines of its exception."""

    text: str
    worker: str = ""
    """Who wrote it, as far as a prefix tells."""
    time: datetime | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    partial: bool = False
    """The container's runtime cut it: the rest comes in the worker's next line."""


def parse_line(raw: bytes | str) -> Line:
    """Take a line apart. Whatever its bytes are, this does not raise. Its own time is left to `dated`, which costs."""
    text = (raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw).rstrip("\r\n")
    line = Line(ANSI.sub("", text) if "\x1b" in text else text)
    for _ in range(DEPTH):
        inner = _inner(line)
        if inner is None:
            break
        line = inner
    return line


def dated(line: Line) -> Line:
    """Return the line with the time that its own text has, if nothing around it had one."""
    return line if line.time is not None else replace(line, time=time_in(line.text))


def _inner(line: Line) -> Line | None:
    if line.text[:1] in " \t":
        return None  # an indented line is in the midst of something
    if line.fields.get("log") is None and line.text.startswith("{"):
        return _of_json(line)
    if line.fields and "log" not in line.fields:
        return None  # the message of a JSON line is the program's own
    for prefix in PREFIXES:
        if found := prefix.match(line.text):
            return _without(line, found)
    return _of_json(line) if line.text.startswith("{") else None


def _without(line: Line, found: re.Match[str]) -> Line:
    groups = found.groupdict()
    worker = " ".join(filter(None, (line.worker, groups.get("worker"))))
    time = line.time or (time_in(groups["time"]) if groups.get("time") else None)
    return Line(line.text[found.end() :], worker, time, line.fields, line.more, groups.get("partial") == "P")


def _of_json(line: Line) -> Line | None:
    try:
        values = json.loads(line.text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or values == line.fields:
        return None
    values.update(values["jsonPayload"] if isinstance(values.get("jsonPayload"), dict) else {})
    message = next((values[name] for name in MESSAGES if isinstance(values.get(name), str)), "")
    if isinstance(values.get("error"), str) and message:
        message = f"{message.rstrip()}: {values['error']}"
    time = line.time or next((time for name in TIMES if (time := time_of_number(values.get(name)))), None)
    container = isinstance(values.get("log"), str) and "stream" in values and isinstance(values["stream"], str)
    text, *rest = message.rstrip("\n").split("\n")
    exception = [] if container else [one for name in EXCEPTIONS for one in _exception(values.get(name))]
    # Docker cuts what is long into several objects; only the last ends its line.
    partial = container and not message.endswith("\n")
    return Line(text.rstrip("\r"), line.worker, time, values, (*rest, *exception), partial)


def _exception(value: object) -> list[str]:
    """Return the lines of an exception, a text or what structlog makes of it."""
    if isinstance(value, str):
        return value.split("\n")
    if not isinstance(value, list):
        return []
    if all(isinstance(item, str) for item in value):
        return [part for item in value for part in item.split("\n")]
    return [part for item in reversed(value) if isinstance(item, dict) for part in _structured(item)]


def _structured(exception: Mapping[str, Any]) -> list[str]:
    frames = exception.get("frames")
    lines = ["Traceback (most recent call last):"]
    lines.extend(
        f'  File "{frame.get("filename")}", line {frame.get("lineno") or 0}, in {frame.get("name")}'
        for frame in (frames if isinstance(frames, list) else [])
        if isinstance(frame, dict)
    )
    return [*lines, f"{exception.get('exc_type')}: {exception.get('exc_value')}", ""]
