"""How bytes become lines of text: WHATWG HTML 9.2.5, and UTF-8 decode of the Encoding standard."""

from __future__ import annotations

from .vector import LINES, TEXT, A, B, Vector, event

_LINE_ENDS = (
    Vector("line-lf", LINES, "LF ends a line.", b"data: a\n\n", (A,)),
    Vector("line-cr", LINES, "CR ends a line.", b"data: a\r\r", (A,)),
    Vector("line-crlf", LINES, "CRLF ends a line.", b"data: a\r\n\r\n", (A,)),
    Vector(
        "line-crlf-is-one-end",
        LINES,
        "CRLF is one line end, not two.",
        b"data: a\r\ndata: b\r\n\r\n",
        (event("a\nb"),),
    ),
    Vector("line-mixed", LINES, "The three may be mixed.", b"data: 1\ndata: 2\rdata: 3\r\n\n", (event("1\n2\n3"),)),
    Vector("line-lf-then-cr", LINES, "LF before CR are two line ends.", b"data: a\n\rdata: b\n\r", (A, B)),
    Vector("line-cr-then-crlf", LINES, "CR before CRLF are two line ends.", b"data: a\r\r\ndata: b\r\r\n", (A, B)),
    Vector("line-crlf-then-lf", LINES, "LF after CRLF is one more line end.", b"data: a\r\n\ndata: b\r\n\n", (A, B)),
    Vector(
        "line-other-separators",
        LINES,
        "No other character ends a line.",
        "data: a\v\f\x1c\x1d\x1e\x85\u2028\u2029b\n\n".encode(),
        (event("a\v\f\x1c\x1d\x1e\x85\u2028\u2029b"),),
    ),
    Vector("line-blank-only", LINES, "A stream may have no events.", b"\n\r\r\n\n"),
    Vector("line-empty-stream", LINES, "A stream may be empty.", b""),
    Vector("line-lf-then-crlf", LINES, "LF before CRLF are two line ends.", b"data: a\n\r\ndata: b\n\r\n", (A, B)),
    Vector("line-crlf-then-cr", LINES, "CR after CRLF is one more line end.", b"data: a\r\n\rdata: b\r\n\r", (A, B)),
    Vector(
        "line-crlf-blank-lines", LINES, "Empty lines of CRLF may be many.", b"\r\n\r\n\r\ndata: a\r\n\r\n\r\n", (A,)
    ),
    Vector("line-of-space", LINES, "A line of a space is not empty.", b"data: a\n \ndata: b\n\n", (event("a\nb"),)),
    Vector("line-of-nul", LINES, "A line of NUL is not empty.", b"data: a\n\0\ndata: b\n\n", (event("a\nb"),)),
    Vector("line-incomplete-blank", LINES, "A line begun by a space is not yet empty.", b"data: a\n "),
    Vector("line-no-end", LINES, "An empty line needs its end as well.", b"data: a\n\ndata: b\n", (A,)),
)

_BYTE_ORDER_MARKS = (
    Vector("bom-dropped", TEXT, "A byte order mark at the start is dropped.", b"\xef\xbb\xbfdata: a\n\n", (A,)),
    Vector(
        "bom-before-comment",
        TEXT,
        "A byte order mark is dropped before a comment.",
        b"\xef\xbb\xbf:c\ndata: a\n\n",
        (A,),
        comments=1,
    ),
    Vector(
        "bom-before-blank",
        TEXT,
        "A byte order mark is dropped before an empty line.",
        b"\xef\xbb\xbf\ndata: a\n\n",
        (A,),
    ),
    Vector(
        "bom-once",
        TEXT,
        "Only one byte order mark is dropped.",
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
        (B,),
    ),
    Vector(
        "bom-later",
        TEXT,
        "A byte order mark after the first event is text.",
        b"data: a\n\n\xef\xbb\xbfdata: x\n\ndata: b\n\n",
        (A, B),
    ),
    Vector(
        "bom-second-line",
        TEXT,
        "A byte order mark on the second line is text.",
        b"\n\xef\xbb\xbfdata: x\n\ndata: b\n\n",
        (B,),
    ),
    Vector(
        "bom-in-value", TEXT, "A byte order mark in a value is kept.", b"data: \xef\xbb\xbfa\n\n", (event("\ufeffa"),)
    ),
    Vector(
        "bom-cut-short",
        TEXT,
        "Two of its three bytes are no byte order mark.",
        b"\xef\xbbdata: x\n\ndata: b\n\n",
        (B,),
    ),
    Vector("bom-alone", TEXT, "A stream may be nothing but a byte order mark.", b"\xef\xbb\xbf"),
    Vector("bom-before-cr", TEXT, "A byte order mark is dropped before CR.", b"\xef\xbb\xbf\rdata: a\r\r", (A,)),
    Vector(
        "bom-before-crlf", TEXT, "A byte order mark is dropped before CRLF.", b"\xef\xbb\xbf\r\ndata: a\r\n\r\n", (A,)
    ),
    Vector(
        "bom-before-id", TEXT, "A byte order mark is dropped before an ID.", b"\xef\xbb\xbfid: 1\n\n", last_event_id="1"
    ),
    Vector("bom-before-retry", TEXT, "A byte order mark is dropped before a time.", b"\xef\xbb\xbfretry: 9\n", retry=9),
    Vector("bom-after-cr", TEXT, "A byte order mark after CR is text.", b"\r\xef\xbb\xbfdata: x\r\rdata: b\r\r", (B,)),
    Vector("bom-in-id", TEXT, "A byte order mark in an ID is kept.", b"id: \xef\xbb\xbf1\n\n", last_event_id="\ufeff1"),
    Vector("bom-utf16", TEXT, "The byte order mark of UTF-16 is none.", b"\xff\xfedata: x\n\ndata: b\n\n", (B,)),
)

_UTF8 = (
    Vector("utf8-text", TEXT, "Streams are UTF-8.", "data: é€😀\n\n".encode(), (event("é€😀"),)),
    Vector(
        "utf8-invalid", TEXT, "A byte that is no UTF-8 is U+FFFD.", b"data: \xffa\xfe\n\n", (event("\ufffda\ufffd"),)
    ),
    Vector(
        "utf8-cut-by-line-end",
        TEXT,
        "A sequence that a line end cuts is one U+FFFD, and the line still ends.",
        b"data: \xf0\x9f\x98\ndata: a\n\n",
        (event("\ufffd\na"),),
    ),
    Vector("utf8-overlong", TEXT, "Overlong forms are invalid.", b"data: \xc0\x80\n\n", (event("\ufffd\ufffd"),)),
    Vector(
        "utf8-surrogate", TEXT, "Surrogates are invalid.", b"data: \xed\xa0\x80\n\n", (event("\ufffd\ufffd\ufffd"),)
    ),
    Vector(
        "utf8-in-event-type",
        TEXT,
        "Invalid bytes in an event type are U+FFFD.",
        b"event: \xff\ndata: a\n\n",
        (event("a", "\ufffd"),),
    ),
    Vector(
        "utf8-in-id",
        TEXT,
        "Invalid bytes in an ID are U+FFFD.",
        b"id: \xff\xc3\xa9\ndata: a\n\n",
        (event("a", last_event_id="\ufffdé"),),
        last_event_id="\ufffdé",
    ),
    Vector("utf8-in-name", TEXT, "Invalid bytes in a name make it unknown.", b"data\xff: x\ndata: a\n\n", (A,)),
    Vector("utf8-replacement", TEXT, "U+FFFD may be sent as such.", "data: \ufffd\n\n".encode(), (event("\ufffd"),)),
    Vector("utf8-noncharacter", TEXT, "Noncharacters are text.", "data: \uffff\n\n".encode(), (event("\uffff"),)),
    Vector("utf8-highest", TEXT, "U+10FFFF is the last one.", "data: \U0010ffff\n\n".encode(), (event("\U0010ffff"),)),
    Vector("utf8-too-high", TEXT, "Beyond U+10FFFF is nothing.", b"data: \xf4\x90\x80\x80\n\n", (event("\ufffd" * 4),)),
    Vector("utf8-cut-by-cr", TEXT, "CR cuts a sequence too.", b"data: \xe2\x82\rdata: a\r\r", (event("\ufffd\na"),)),
    Vector(
        "utf8-cut-by-text",
        TEXT,
        "A sequence that a letter cuts takes none of it.",
        b"data: \xe2\x82a\n\n",
        (event("\ufffda"),),
    ),
    Vector(
        "utf8-lone-continuation", TEXT, "A continuation byte alone is invalid.", b"data: \x80\n\n", (event("\ufffd"),)
    ),
    Vector("utf8-cut-by-colon", TEXT, "A sequence that a colon cuts ends a name.", b"data\xc3: x\ndata: a\n\n", (A,)),
    Vector("utf8-in-comment", TEXT, "Invalid bytes in a comment are ignored.", b":\xff\0\xc3\n\n", comments=1),
    Vector("utf8-name", TEXT, "A name of other letters is unknown.", "dàta: x\ndata: a\n\n".encode(), (A,)),
    Vector(
        "utf8-wide-space",
        TEXT,
        "Other spaces than U+0020 are text.",
        "data:\u00a0a\u3000\n\n".encode(),
        (event("\u00a0a\u3000"),),
    ),
)

TEXT_VECTORS = _LINE_ENDS + _BYTE_ORDER_MARKS + _UTF8
