"""What the standard says of an event stream, clause by clause, each with bytes that show it.

The clauses are those of WHATWG HTML (9.2.5 Parsing an event stream, 9.2.6
Interpreting an event stream) and of the Encoding standard (UTF-8 decode).
"""

from __future__ import annotations

from dataclasses import dataclass

from unbroken.wire import DecodedEvent

LINES = "HTML 9.2.5"
FIELDS = "HTML 9.2.6"
TEXT = "Encoding, UTF-8 decode"


@dataclass(frozen=True, slots=True)
class Vector:
    """A stream from its first byte to its end, and all that a client may know after it."""

    id: str
    clause: str
    rule: str
    stream: bytes
    events: tuple[DecodedEvent, ...] = ()
    retry: int | None = None
    last_event_id: str = ""
    comments: int = 0


def _event(data: str, event: str = "message", last_event_id: str = "") -> DecodedEvent:
    return DecodedEvent(event, data, last_event_id)


_A, _B = _event("a"), _event("b")

_LINE_ENDS = (
    Vector("line-lf", LINES, "LF ends a line.", b"data: a\n\n", (_A,)),
    Vector("line-cr", LINES, "CR ends a line.", b"data: a\r\r", (_A,)),
    Vector("line-crlf", LINES, "CRLF ends a line.", b"data: a\r\n\r\n", (_A,)),
    Vector(
        "line-crlf-is-one-end",
        LINES,
        "CRLF is one line end, not two.",
        b"data: a\r\ndata: b\r\n\r\n",
        (_event("a\nb"),),
    ),
    Vector("line-mixed", LINES, "The three may be mixed.", b"data: 1\ndata: 2\rdata: 3\r\n\n", (_event("1\n2\n3"),)),
    Vector("line-lf-then-cr", LINES, "LF before CR are two line ends.", b"data: a\n\rdata: b\n\r", (_A, _B)),
    Vector("line-cr-then-crlf", LINES, "CR before CRLF are two line ends.", b"data: a\r\r\ndata: b\r\r\n", (_A, _B)),
    Vector("line-crlf-then-lf", LINES, "LF after CRLF is one more line end.", b"data: a\r\n\ndata: b\r\n\n", (_A, _B)),
    Vector(
        "line-other-separators",
        LINES,
        "No other character ends a line.",
        "data: a\v\f\x1c\x1d\x1e\x85\u2028\u2029b\n\n".encode(),
        (_event("a\v\f\x1c\x1d\x1e\x85\u2028\u2029b"),),
    ),
    Vector("line-blank-only", LINES, "A stream may have no events.", b"\n\r\r\n\n"),
    Vector("line-empty-stream", LINES, "A stream may be empty.", b""),
)

_BYTE_ORDER_MARKS = (
    Vector("bom-dropped", TEXT, "A byte order mark at the start is dropped.", b"\xef\xbb\xbfdata: a\n\n", (_A,)),
    Vector(
        "bom-before-comment",
        TEXT,
        "A byte order mark is dropped before a comment.",
        b"\xef\xbb\xbf:c\ndata: a\n\n",
        (_A,),
        comments=1,
    ),
    Vector(
        "bom-before-blank",
        TEXT,
        "A byte order mark is dropped before an empty line.",
        b"\xef\xbb\xbf\ndata: a\n\n",
        (_A,),
    ),
    Vector(
        "bom-once",
        TEXT,
        "Only one byte order mark is dropped.",
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
        (_B,),
    ),
    Vector(
        "bom-later",
        TEXT,
        "A byte order mark after the first event is text.",
        b"data: a\n\n\xef\xbb\xbfdata: x\n\ndata: b\n\n",
        (_A, _B),
    ),
    Vector(
        "bom-second-line",
        TEXT,
        "A byte order mark on the second line is text.",
        b"\n\xef\xbb\xbfdata: x\n\ndata: b\n\n",
        (_B,),
    ),
    Vector(
        "bom-in-value", TEXT, "A byte order mark in a value is kept.", b"data: \xef\xbb\xbfa\n\n", (_event("\ufeffa"),)
    ),
    Vector(
        "bom-cut-short",
        TEXT,
        "Two of its three bytes are no byte order mark.",
        b"\xef\xbbdata: x\n\ndata: b\n\n",
        (_B,),
    ),
)

_UTF8 = (
    Vector("utf8-text", TEXT, "Streams are UTF-8.", "data: é€😀\n\n".encode(), (_event("é€😀"),)),
    Vector(
        "utf8-invalid", TEXT, "A byte that is no UTF-8 is U+FFFD.", b"data: \xffa\xfe\n\n", (_event("\ufffda\ufffd"),)
    ),
    Vector(
        "utf8-cut-by-line-end",
        TEXT,
        "A sequence that a line end cuts is one U+FFFD, and the line still ends.",
        b"data: \xf0\x9f\x98\ndata: a\n\n",
        (_event("\ufffd\na"),),
    ),
    Vector("utf8-overlong", TEXT, "Overlong forms are invalid.", b"data: \xc0\x80\n\n", (_event("\ufffd\ufffd"),)),
    Vector(
        "utf8-surrogate", TEXT, "Surrogates are invalid.", b"data: \xed\xa0\x80\n\n", (_event("\ufffd\ufffd\ufffd"),)
    ),
    Vector(
        "utf8-in-event-type",
        TEXT,
        "Invalid bytes in an event type are U+FFFD.",
        b"event: \xff\ndata: a\n\n",
        (_event("a", "\ufffd"),),
    ),
    Vector(
        "utf8-in-id",
        TEXT,
        "Invalid bytes in an ID are U+FFFD.",
        b"id: \xff\xc3\xa9\ndata: a\n\n",
        (_event("a", last_event_id="\ufffdé"),),
        last_event_id="\ufffdé",
    ),
    Vector("utf8-in-name", TEXT, "Invalid bytes in a name make it unknown.", b"data\xff: x\ndata: a\n\n", (_A,)),
)

_FIELD_LINES = (
    Vector("field-no-space", FIELDS, "The space after the colon may be missing.", b"data:a\n\n", (_A,)),
    Vector("field-one-space", FIELDS, "Only one space after the colon is removed.", b"data:  a \n\n", (_event(" a "),)),
    Vector("field-tab", FIELDS, "No other white space after the colon is removed.", b"data:\ta\n\n", (_event("\ta"),)),
    Vector("field-colons", FIELDS, "The first colon ends the name.", b"data:a: b:c\n\n", (_event("a: b:c"),)),
    Vector(
        "field-no-colon", FIELDS, "A line without a colon is a name with an empty value.", b"data\n\n", (_event(""),)
    ),
    Vector("field-space-in-name", FIELDS, "A name keeps its spaces.", b"data : x\n data: y\ndata: a\n\n", (_A,)),
    Vector("field-case", FIELDS, "Names are compared without case folding.", b"Data: x\nDATA: y\ndata: a\n\n", (_A,)),
    Vector("field-prefix", FIELDS, "Names are compared whole.", b"dat: x\ndatas: y\ndata: a\n\n", (_A,)),
    Vector("field-unknown", FIELDS, "Unknown fields are ignored.", b"cookie: x\nwhatever\ndata: a\n\n", (_A,)),
    Vector(
        "comment-ignored", FIELDS, "A line that begins with a colon is ignored.", b":x\ndata: a\n\n", (_A,), comments=1
    ),
    Vector(
        "comment-hides-field",
        FIELDS,
        "A field behind a leading colon is a comment.",
        b":data: x\n: id: 1\n\n",
        comments=2,
    ),
    Vector("comment-empty", FIELDS, "A comment may be empty.", b":\n\n", comments=1),
    Vector(
        "comment-inside",
        FIELDS,
        "A comment parts no event.",
        b"data: a\n: c\ndata: b\n\n",
        (_event("a\nb"),),
        comments=1,
    ),
)

_DATA = (
    Vector("data-joined", FIELDS, "Data lines are joined by LF.", b"data: a\ndata: b\n\n", (_event("a\nb"),)),
    Vector(
        "data-apart",
        FIELDS,
        "Other fields between data lines part nothing.",
        b"data: a\nx: y\ndata: b\n\n",
        (_event("a\nb"),),
    ),
    Vector(
        "data-last-lf",
        FIELDS,
        "Only the last LF of the data is removed.",
        b"data: a\ndata\ndata:\n\n",
        (_event("a\n\n"),),
    ),
    Vector("data-empty", FIELDS, "An empty data line makes an event.", b"data:\n\n", (_event(""),)),
    Vector("data-two-empty", FIELDS, "Two empty data lines are one LF.", b"data\ndata\n\n", (_event("\n"),)),
    Vector("data-nul", FIELDS, "NUL in data is text.", b"data: a\0b\n\n", (_event("a\0b"),)),
    Vector("data-none", FIELDS, "Without data nothing is dispatched.", b"event: x\n\nretry: 1\n\n", retry=1),
    Vector("data-reset", FIELDS, "Data belongs to one event.", b"data: a\n\n\n\ndata: b\n\n", (_A, _B)),
    Vector("end-of-file", FIELDS, "An event whose blank line is missing is discarded.", b"data: a\n\ndata: b\n", (_A,)),
    Vector(
        "end-of-file-in-line", FIELDS, "An event that ends inside a line is discarded.", b"data: a\n\ndata: b", (_A,)
    ),
)

_EVENT_TYPES = (
    Vector(
        "event-type", FIELDS, "The event field names the type.", b"event: tick\ndata: a\n\n", (_event("a", "tick"),)
    ),
    Vector(
        "event-after-data",
        FIELDS,
        "The event field may follow the data.",
        b"data: a\nevent: tick\n\n",
        (_event("a", "tick"),),
    ),
    Vector(
        "event-last",
        FIELDS,
        "The last event field counts.",
        b"event: x\nevent: tick\ndata: a\n\n",
        (_event("a", "tick"),),
    ),
    Vector("event-empty", FIELDS, "An empty type is message.", b"event: x\nevent:\ndata: a\n\n", (_A,)),
    Vector("event-space", FIELDS, "A space is a type.", b"event:  \ndata: a\n\n", (_event("a", " "),)),
    Vector("event-nul", FIELDS, "NUL in a type is text.", b"event: x\0\ndata: a\n\n", (_event("a", "x\0"),)),
    Vector(
        "event-reset",
        FIELDS,
        "A type holds for one event.",
        b"event: t\ndata: a\n\ndata: b\n\n",
        (_event("a", "t"), _B),
    ),
    Vector(
        "event-reset-without-data",
        FIELDS,
        "A block without data resets the type too.",
        b"event: x\n\ndata: b\n\n",
        (_B,),
    ),
)


def _with_id(data: str, last_event_id: str) -> DecodedEvent:
    return _event(data, last_event_id=last_event_id)


_IDS = (
    Vector(
        "id", FIELDS, "The ID goes with its event.", b"id: 1\ndata: a\n\n", (_with_id("a", "1"),), last_event_id="1"
    ),
    Vector(
        "id-stays",
        FIELDS,
        "The ID is not reset by a dispatch.",
        b"id: 1\ndata: a\n\ndata: b\n\n",
        (_with_id("a", "1"), _with_id("b", "1")),
        last_event_id="1",
    ),
    Vector(
        "id-last",
        FIELDS,
        "The last id field counts.",
        b"id: 1\nid: 2\ndata: a\n\n",
        (_with_id("a", "2"),),
        last_event_id="2",
    ),
    Vector(
        "id-empty",
        FIELDS,
        "An empty ID resets the last one.",
        b"id: 1\ndata: a\n\nid:\ndata: b\n\n",
        (_with_id("a", "1"), _B),
    ),
    Vector(
        "id-no-colon",
        FIELDS,
        "An id field without a colon resets the last one.",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        (_with_id("a", "1"), _B),
    ),
    Vector(
        "id-nul",
        FIELDS,
        "An ID with NUL is ignored.",
        b"id: 1\nid: 2\0\nid: \0\ndata: a\n\n",
        (_with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector("id-spaces", FIELDS, "An ID keeps its spaces.", b"id:  1 \n\n", last_event_id=" 1 "),
    Vector("id-without-data", FIELDS, "An ID is committed without data.", b"id: 1\n\n", last_event_id="1"),
    Vector(
        "id-without-data-goes-on",
        FIELDS,
        "An ID committed without data goes with later events.",
        b"id: 1\n\ndata: a\n\n",
        (_with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector(
        "id-unterminated",
        FIELDS,
        "The ID of an incomplete block is not committed.",
        b"id: 1\ndata: a\n\nid: 2\ndata: b\n",
        (_with_id("a", "1"),),
        last_event_id="1",
    ),
)

_RETRIES = (
    Vector("retry", FIELDS, "Digits set the reconnection time.", b"retry: 1500\n\n", retry=1500),
    Vector("retry-zero", FIELDS, "Zero is a time.", b"retry: 0\n", retry=0),
    Vector("retry-leading-zeros", FIELDS, "Digits are base ten.", b"retry: 0010\n", retry=10),
    Vector("retry-at-once", FIELDS, "The reconnection time is set before any blank line.", b"retry: 7\n", retry=7),
    Vector("retry-incomplete-line", FIELDS, "A retry field needs its line end.", b"retry: 7"),
    Vector("retry-last", FIELDS, "The last valid retry field counts.", b"retry: 1\nretry: 2\nretry: x\n", retry=2),
    Vector("retry-sign", FIELDS, "A sign is no digit.", b"retry: +5\nretry: -5\n"),
    Vector("retry-fraction", FIELDS, "A point or an exponent is no digit.", b"retry: 1.5\nretry: 1e3\n"),
    Vector("retry-space", FIELDS, "A second space, or one at the end, is no digit.", b"retry:  5\nretry: 5 \n"),
    Vector("retry-separator", FIELDS, "An underscore is no digit.", b"retry: 1_000\n"),
    Vector("retry-not-ascii", FIELDS, "Only ASCII digits are digits.", "retry: ٣٠٠\nretry: \uff15\n".encode()),
    Vector("retry-empty", FIELDS, "No digits are no time.", b"retry:\nretry\n"),
    Vector(
        "retry-beside-data", FIELDS, "A retry field leaves the event alone.", b"data: a\nretry: 9\n\n", (_A,), retry=9
    ),
)

VECTORS = _LINE_ENDS + _BYTE_ORDER_MARKS + _UTF8 + _FIELD_LINES + _DATA + _EVENT_TYPES + _IDS + _RETRIES
