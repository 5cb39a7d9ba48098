"""What unbroken itself wrote into a log: see `unbroken.observe.log`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from unbroken.diagnose.logs.lines import Line
from unbroken.diagnose.logs.routes import normalised
from unbroken.errors import CloseReason
from unbroken.observe.record import Cleanup, StreamRecord

__all__ = ["Told", "record_in", "told_in"]

REASONS: Final = "|".join(CloseReason)
ENDED: Final = re.compile(
    rf"(?:^|\s)\S+ [A-Z]{{1,20}} (\S+): ({REASONS}) after (\d{{1,12}}(?:\.\d+)?) s, (\d{{1,15}}) events"
)
REFUSED: Final = re.compile(r"(?:^|\s)[A-Z]{1,20} (\S+): refused, \d{1,15} streams are open and limit ")
CLEANUP: Final = re.compile(
    r"the (?:cleanup of [A-Z]{1,20} (\S+) failed|producer of [A-Z]{1,20} (\S+) did not end when its stream had )"
)
HOP: Final = re.compile(
    r"(\d{1,9}) of the last \d{1,9} streams(?: of (\S+))? ended at (a silence|an age) of (\d{1,9}) s: "
    r"(.*?)(?:\. Set |$)"
)

CAUSES: Final = {"producer_error": "producer-failed", "send_timeout": "slow-reader"}
"""Of the reasons for which a stream ends those that are a fault; a client's leaving is none."""


@dataclass(frozen=True, slots=True)
class Told:
    """One of unbroken's lines."""

    route: str | None
    cause: str | None = None
    seconds: float | None = None
    """Of an end: the stream's age. Of a hop: its time."""
    events: int | None = None
    likely: str | None = None
    reason: CloseReason | None = None
    """Of an end."""
    is_refusal: bool = False


def told_in(line: Line) -> Told | None:
    """Return what unbroken says in this line, or None."""
    text = line.text
    if found := ENDED.search(text):
        route, reason = normalised(found[1]), found[2]
        return Told(route, CAUSES.get(reason), float(found[3]), int(found[4]), reason=CloseReason(reason))
    if found := CLEANUP.search(text):
        return Told(normalised(found[1] or found[2]), "cleanup-not-run")
    if found := HOP.search(text):
        cause = "idle-timeout" if found[3] == "a silence" else "age-limit"
        return Told(found[2] and normalised(found[2]), cause, float(found[4]), likely=found[5])
    if found := REFUSED.search(text):
        return Told(normalised(found[1]), is_refusal=True)
    return None


def record_in(fields: Mapping[str, Any]) -> StreamRecord | None:
    """Return the record that a JSON line carries as `stream`, or None."""
    plain = fields.get("stream")
    if not isinstance(plain, dict) or "last_silence" not in plain:
        return None
    try:
        return _record(plain)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # cut, or somebody else's


def _record(plain: Mapping[str, Any]) -> StreamRecord:
    route = plain.get("route")
    path = str(plain["path"])
    return StreamRecord(
        id=0,
        reason=CloseReason(plain["reason"]),
        method=str(plain["method"]),
        path=path,
        route=str(route) if route else normalised(path),
        client=None,
        first_byte=None,
        cleanup=Cleanup(plain.get("cleanup", Cleanup.FINISHED)),
        opened_at=float(plain["opened_at"]),
        duration=float(plain["duration"]),
        longest_silence=float(plain["longest_silence"]),
        last_silence=float(plain["last_silence"]),
        events=int(plain["events"]),
        discarded=int(plain["discarded"]),
        heartbeats=int(plain["heartbeats"]),
        sent_bytes=int(plain["sent_bytes"]),
    )
