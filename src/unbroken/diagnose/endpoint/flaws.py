"""The ways in which an event stream is framed wrongly, and what each does to clients."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from unbroken.diagnose.endpoint.verdict import Outcome

__all__ = ["FLAWS", "Flaw", "FlawInfo"]

WRONG_FRAMING: Final = "wrong-framing"


class Flaw(StrEnum):
    """A kind of flaw; the value says what was found."""

    OTHER_BODY = "the body is HTML or JSON"
    FRAMED_TWICE = "a field within a field (`data: data: …`)"
    FRAME_AS_JSON = 'a whole frame as a JSON string (`data: "data: …`)'
    ESCAPED_LINE_END = r"a `\n` written out instead of a line end"
    PYTHON_REPR = "Python's own notation instead of JSON"
    UNENDED = "no blank line after the last event"
    NEVER_ENDED = "data lines, and no blank line that would end an event"
    REPEATED_FIELD = "two `id` or two `event` fields in one event"
    SEVERAL_DOCUMENTS = "several JSON documents in one event"
    MISSPELT_FIELD = "a field name with a capital or a space (`Data:`, ` data:`, `event :`)"
    UNKNOWN_FIELD = "a field that no client knows"
    STRAY_TEXT = "text outside of any field"
    BOM_WITHIN = "a byte order mark within the stream"
    NUL_IN_ID = "a NUL in an `id`"
    BAD_RETRY = "a `retry` that is not only digits"
    INVALID_UTF8 = "bytes that are no UTF-8"
    NO_DATA = "an event without a `data` field"
    HUGE_LINE = "a line of more than 1 MiB"
    MIXED_LINE_ENDS = "lines that end in different ways"
    LONE_CR = "lines that end in CR alone"


@dataclass(frozen=True, slots=True)
class FlawInfo:
    """What is to be said of a kind of flaw."""

    outcome: Outcome
    means: str
    fix: str
    cause: str = WRONG_FRAMING


_ENCODE = "yield `ServerSentEvent(data=…)` or plain text, and let one place write the frame"

FLAWS: Final[dict[Flaw, FlawInfo]] = {
    Flaw.OTHER_BODY: FlawInfo(
        Outcome.FAIL,
        "A client finds no event in it.",
        "send events from this route, and errors with a status other than 200",
        "not-an-event-stream",
    ),
    Flaw.FRAMED_TWICE: FlawInfo(Outcome.FAIL, "Clients get the field's name as a part of the data.", _ENCODE),
    Flaw.FRAME_AS_JSON: FlawInfo(Outcome.FAIL, "Clients get a quoted frame as the data.", _ENCODE),
    Flaw.ESCAPED_LINE_END: FlawInfo(
        Outcome.FAIL, "The event is not ended, and its data has a backslash in it.", "write a real line feed"
    ),
    Flaw.PYTHON_REPR: FlawInfo(Outcome.WARN, "`JSON.parse` fails on it.", "encode the data with `json.dumps`"),
    Flaw.UNENDED: FlawInfo(
        Outcome.FAIL,
        "Clients never see the last event: what is not ended is discarded.",
        "end each event with `\\n\\n`",
    ),
    Flaw.NEVER_ENDED: FlawInfo(
        Outcome.FAIL, "Clients collect the lines and never dispatch an event.", "end each event with `\\n\\n`"
    ),
    Flaw.REPEATED_FIELD: FlawInfo(
        Outcome.FAIL, "Two events arrive as one: only the last of such fields counts.", "end each event with `\\n\\n`"
    ),
    Flaw.SEVERAL_DOCUMENTS: FlawInfo(
        Outcome.WARN, "They arrive as one event that is no JSON.", "end each event with `\\n\\n`"
    ),
    Flaw.MISSPELT_FIELD: FlawInfo(
        Outcome.FAIL, "Clients ignore the line.", "write `data:`, `event:`, `id:`, `retry:` exactly so"
    ),
    Flaw.UNKNOWN_FIELD: FlawInfo(
        Outcome.WARN, "Clients ignore the line.", "put it into the data, or make it a comment (`: …`)"
    ),
    Flaw.STRAY_TEXT: FlawInfo(
        Outcome.FAIL,
        "Clients ignore the line: a text of several lines loses all but the first.",
        "write `data: ` before each line of the text",
    ),
    Flaw.BOM_WITHIN: FlawInfo(
        Outcome.FAIL, "Clients ignore the line behind it.", "encode with `utf-8`, not with `utf-8-sig`"
    ),
    Flaw.NUL_IN_ID: FlawInfo(
        Outcome.FAIL, "Clients ignore the id, and resume from an older one.", "make ids of printable characters"
    ),
    Flaw.BAD_RETRY: FlawInfo(Outcome.WARN, "Clients ignore it.", "send whole milliseconds: `retry: 3000`"),
    Flaw.INVALID_UTF8: FlawInfo(
        Outcome.FAIL, "Clients see U+FFFD instead, or end with an error.", "encode as UTF-8; binary data as base64"
    ),
    Flaw.NO_DATA: FlawInfo(
        Outcome.WARN, "Clients dispatch nothing for it.", "add an empty `data:` line if the event is meant"
    ),
    Flaw.HUGE_LINE: FlawInfo(
        Outcome.WARN, "Clients and proxies with a bound on lines end the stream.", "send an address of the data instead"
    ),
    Flaw.MIXED_LINE_ENDS: FlawInfo(Outcome.INFO, "Legal; some simple clients know only one way.", "use LF throughout"),
    Flaw.LONE_CR: FlawInfo(Outcome.INFO, "Legal; many clients do not know it.", "use LF throughout"),
}
