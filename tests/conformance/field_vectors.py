"""What the lines say: WHATWG HTML 9.2.6."""

from __future__ import annotations

from .vector import FIELDS, A, B, Vector, event, with_id

_FIELD_LINES = (
    Vector("field-no-space", FIELDS, "The space after the colon may be missing.", b"data:a\n\n", (A,)),
    Vector("field-one-space", FIELDS, "Only one space after the colon is removed.", b"data:  a \n\n", (event(" a "),)),
    Vector("field-tab", FIELDS, "No other white space after the colon is removed.", b"data:\ta\n\n", (event("\ta"),)),
    Vector("field-colons", FIELDS, "The first colon ends the name.", b"data:a: b:c\n\n", (event("a: b:c"),)),
    Vector(
        "field-no-colon", FIELDS, "A line without a colon is a name with an empty value.", b"data\n\n", (event(""),)
    ),
    Vector("field-space-in-name", FIELDS, "A name keeps its spaces.", b"data : x\n data: y\ndata: a\n\n", (A,)),
    Vector("field-case", FIELDS, "Names are compared without case folding.", b"Data: x\nDATA: y\ndata: a\n\n", (A,)),
    Vector("field-prefix", FIELDS, "Names are compared whole.", b"dat: x\ndatas: y\ndata: a\n\n", (A,)),
    Vector("field-unknown", FIELDS, "Unknown fields are ignored.", b"cookie: x\nwhatever\ndata: a\n\n", (A,)),
    Vector(
        "comment-ignored", FIELDS, "A line that begins with a colon is ignored.", b":x\ndata: a\n\n", (A,), comments=1
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
        (event("a\nb"),),
        comments=1,
    ),
    Vector("field-space-only", FIELDS, "A value of one space is empty.", b"data: \n\n", (event(""),)),
    Vector("field-two-spaces-only", FIELDS, "A value of two spaces is one.", b"data:  \n\n", (event(" "),)),
    Vector(
        "field-like-field",
        FIELDS,
        "A field in a value is text.",
        b"data: data: x\ndata: id: 1\n\n",
        (event("data: x\nid: 1"),),
    ),
    Vector("field-leading-space", FIELDS, "A space before a name is part of it.", b" data: x\n\n id: 1\n\n"),
    Vector(
        "field-space-colon", FIELDS, "A space before the colon hides any field.", b"id : 1\nretry : 1\nevent : x\n\n"
    ),
    Vector("field-nul-in-name", FIELDS, "A name with NUL is unknown.", b"id\0: 1\n\0data: x\ndata: a\n\n", (A,)),
    Vector("field-space-before-colon-only", FIELDS, "A space before a colon is no comment.", b" : x\n\n"),
    Vector("field-no-colon-all", FIELDS, "Every name may stand alone.", b"event\nretry\nid\ndata\n\n", (event(""),)),
    Vector("comment-colons", FIELDS, "A comment may hold colons.", b"::: data: x\n\n", comments=1),
    Vector("comment-without-blank", FIELDS, "A comment counts without an empty line.", b": a\n", comments=1),
    Vector("comment-incomplete", FIELDS, "A comment needs its line end.", b": a"),
    Vector(
        "comment-between",
        FIELDS,
        "A block of comments is no event.",
        b"data: a\n\n: x\n\n: y\n: z\n\ndata: b\n\n",
        (A, B),
        comments=3,
    ),
    Vector(
        "comment-keeps-id",
        FIELDS,
        "A block of comments leaves the ID alone.",
        b"id: 1\ndata: a\n\n:\n\ndata: b\n\n",
        (with_id("a", "1"), with_id("b", "1")),
        last_event_id="1",
        comments=1,
    ),
)

_DATA = (
    Vector("data-joined", FIELDS, "Data lines are joined by LF.", b"data: a\ndata: b\n\n", (event("a\nb"),)),
    Vector(
        "data-apart",
        FIELDS,
        "Other fields between data lines part nothing.",
        b"data: a\nx: y\ndata: b\n\n",
        (event("a\nb"),),
    ),
    Vector(
        "data-last-lf",
        FIELDS,
        "Only the last LF of the data is removed.",
        b"data: a\ndata\ndata:\n\n",
        (event("a\n\n"),),
    ),
    Vector("data-empty", FIELDS, "An empty data line makes an event.", b"data:\n\n", (event(""),)),
    Vector("data-two-empty", FIELDS, "Two empty data lines are one LF.", b"data\ndata\n\n", (event("\n"),)),
    Vector("data-nul", FIELDS, "NUL in data is text.", b"data: a\0b\n\n", (event("a\0b"),)),
    Vector("data-none", FIELDS, "Without data nothing is dispatched.", b"event: x\n\nretry: 1\n\n", retry=1),
    Vector("data-reset", FIELDS, "Data belongs to one event.", b"data: a\n\n\n\ndata: b\n\n", (A, B)),
    Vector("end-of-file", FIELDS, "An event whose blank line is missing is discarded.", b"data: a\n\ndata: b\n", (A,)),
    Vector(
        "end-of-file-in-line", FIELDS, "An event that ends inside a line is discarded.", b"data: a\n\ndata: b", (A,)
    ),
    Vector(
        "data-only-lf-of-last",
        FIELDS,
        "Empty lines of data before others are LF.",
        b"data\ndata: a\n\n",
        (event("\na"),),
    ),
    Vector(
        "data-mixed-forms",
        FIELDS,
        "Lines with and without a space or colon may be mixed.",
        b"data:a\ndata: b\ndata\n\n",
        (event("a\nb\n"),),
    ),
    Vector(
        "data-after-blank-block", FIELDS, "A block without data is no event.", b"event: x\nid: 1\n\n", last_event_id="1"
    ),
    Vector("data-alike", FIELDS, "Equal events are as many events.", b"data: a\n\n" * 3, (A, A, A)),
    Vector("data-colon", FIELDS, "A value may begin with a colon.", b"data::a\ndata: :b\n\n", (event(":a\n:b"),)),
    Vector("end-of-file-after-cr", FIELDS, "An event that ends in CR is complete.", b"data: a\r\n\r", (A,)),
)

_EVENT_TYPES = (
    Vector("event-type", FIELDS, "The event field names the type.", b"event: tick\ndata: a\n\n", (event("a", "tick"),)),
    Vector(
        "event-after-data",
        FIELDS,
        "The event field may follow the data.",
        b"data: a\nevent: tick\n\n",
        (event("a", "tick"),),
    ),
    Vector(
        "event-last",
        FIELDS,
        "The last event field counts.",
        b"event: x\nevent: tick\ndata: a\n\n",
        (event("a", "tick"),),
    ),
    Vector("event-empty", FIELDS, "An empty type is message.", b"event: x\nevent:\ndata: a\n\n", (A,)),
    Vector("event-space", FIELDS, "A space is a type.", b"event:  \ndata: a\n\n", (event("a", " "),)),
    Vector("event-nul", FIELDS, "NUL in a type is text.", b"event: x\0\ndata: a\n\n", (event("a", "x\0"),)),
    Vector(
        "event-reset",
        FIELDS,
        "A type holds for one event.",
        b"event: t\ndata: a\n\ndata: b\n\n",
        (event("a", "t"), B),
    ),
    Vector(
        "event-reset-without-data",
        FIELDS,
        "A block without data resets the type too.",
        b"event: x\n\ndata: b\n\n",
        (B,),
    ),
    Vector("event-spaces", FIELDS, "A type keeps its other spaces.", b"event:  x \ndata: a\n\n", (event("a", " x "),)),
    Vector("event-colon", FIELDS, "A type may hold colons.", b"event: a:b\ndata: a\n\n", (event("a", "a:b"),)),
    Vector("event-message", FIELDS, "A type may be called message.", b"event: message\ndata: a\n\n", (A,)),
    Vector(
        "event-open",
        FIELDS,
        "Types that a browser uses are types.",
        b"event: error\ndata: a\n\n",
        (event("a", "error"),),
    ),
    Vector("event-no-colon", FIELDS, "A type without a colon is empty.", b"event: x\nevent\ndata: a\n\n", (A,)),
    Vector(
        "event-emptied-last", FIELDS, "An empty type after the data counts.", b"event: x\ndata: a\nevent:\n\n", (A,)
    ),
    Vector(
        "event-around-id",
        FIELDS,
        "The last type counts, with an ID between.",
        b"event: x\nid: 1\nevent: y\ndata: a\n\n",
        (event("a", "y", "1"),),
        last_event_id="1",
    ),
    Vector(
        "event-emptied-around-id",
        FIELDS,
        "So it does if it is empty.",
        b"event: x\nid: 1\nevent:\ndata: a\n\n",
        (with_id("a", "1"),),
        last_event_id="1",
    ),
)


_IDS = (
    Vector("id", FIELDS, "The ID goes with its event.", b"id: 1\ndata: a\n\n", (with_id("a", "1"),), last_event_id="1"),
    Vector(
        "id-stays",
        FIELDS,
        "The ID is not reset by a dispatch.",
        b"id: 1\ndata: a\n\ndata: b\n\n",
        (with_id("a", "1"), with_id("b", "1")),
        last_event_id="1",
    ),
    Vector(
        "id-last",
        FIELDS,
        "The last id field counts.",
        b"id: 1\nid: 2\ndata: a\n\n",
        (with_id("a", "2"),),
        last_event_id="2",
    ),
    Vector(
        "id-empty",
        FIELDS,
        "An empty ID resets the last one.",
        b"id: 1\ndata: a\n\nid:\ndata: b\n\n",
        (with_id("a", "1"), B),
    ),
    Vector(
        "id-no-colon",
        FIELDS,
        "An id field without a colon resets the last one.",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        (with_id("a", "1"), B),
    ),
    Vector(
        "id-nul",
        FIELDS,
        "An ID with NUL is ignored.",
        b"id: 1\nid: 2\0\nid: \0\ndata: a\n\n",
        (with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector("id-spaces", FIELDS, "An ID keeps its spaces.", b"id:  1 \n\n", last_event_id=" 1 "),
    Vector("id-without-data", FIELDS, "An ID is committed without data.", b"id: 1\n\n", last_event_id="1"),
    Vector(
        "id-without-data-goes-on",
        FIELDS,
        "An ID committed without data goes with later events.",
        b"id: 1\n\ndata: a\n\n",
        (with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector(
        "id-unterminated",
        FIELDS,
        "The ID of an incomplete block is not committed.",
        b"id: 1\ndata: a\n\nid: 2\ndata: b\n",
        (with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector(
        "id-after-data",
        FIELDS,
        "The ID may follow the data.",
        b"data: a\nid: 1\n\n",
        (with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector(
        "id-after-event",
        FIELDS,
        "The ID may follow the type.",
        b"event: t\nid: 1\ndata: a\n\n",
        (event("a", "t", "1"),),
        last_event_id="1",
    ),
    Vector(
        "id-two-spaces",
        FIELDS,
        "An ID of a space is one.",
        b"id:  \ndata: a\n\n",
        (with_id("a", " "),),
        last_event_id=" ",
    ),
    Vector(
        "id-one-space",
        FIELDS,
        "An ID of nothing but the optional space resets the last one.",
        b"id: 1\n\nid: \n\ndata: a\n\n",
        (A,),
    ),
    Vector("id-reset-without-data", FIELDS, "A block without data resets the ID.", b"id: 1\n\nid\n\ndata: a\n\n", (A,)),
    Vector(
        "id-reset-and-set",
        FIELDS,
        "An ID may be reset and set again.",
        b"id: 1\n\nid:\n\nid: 2\ndata: a\n\n",
        (with_id("a", "2"),),
        last_event_id="2",
    ),
    Vector("id-reset-in-block", FIELDS, "The last id field counts if it is empty.", b"id: 1\nid:\ndata: a\n\n", (A,)),
    Vector(
        "id-nul-alone",
        FIELDS,
        "An ID of NUL changes nothing.",
        b"id: 1\n\nid:\0\n\nid: 2\0\ndata: a\n\n",
        (with_id("a", "1"),),
        last_event_id="1",
    ),
    Vector(
        "id-nul-after-event",
        FIELDS,
        "An ID with NUL leaves its event alone.",
        b"event: t\nid: \0\ndata: a\n\n",
        (event("a", "t"),),
    ),
    Vector(
        "id-not-ascii",
        FIELDS,
        "An ID may be any text.",
        "id: ü→\ndata: a\n\n".encode(),
        (with_id("a", "ü→"),),
        last_event_id="ü→",
    ),
    Vector("id-dot-nul", FIELDS, "What is no NUL is an ID.", b"id: \\0\n\n", last_event_id="\\0"),
    Vector("id-colon", FIELDS, "An ID may hold colons.", b"id: a:b\n\n", last_event_id="a:b"),
    Vector("id-unterminated-line", FIELDS, "An ID without its line end is none.", b"id: 1\n\nid: 2", last_event_id="1"),
    Vector(
        "id-many",
        FIELDS,
        "Each event has the ID of its time.",
        b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\n",
        (with_id("a", "1"), with_id("b", "1"), with_id("c", "2")),
        last_event_id="2",
    ),
    Vector(
        "fields-do-not-leak",
        FIELDS,
        "Type and data are of one block, the ID is of all.",
        b"event: t\nid: 1\ndata: a\n\ndata: b\n\nevent: u\ndata: c\nid: 2\n\n",
        (event("a", "t", "1"), with_id("b", "1"), event("c", "u", "2")),
        last_event_id="2",
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
        "retry-beside-data", FIELDS, "A retry field leaves the event alone.", b"data: a\nretry: 9\n\n", (A,), retry=9
    ),
    Vector("retry-no-space", FIELDS, "The space may be missing.", b"retry:12\r", retry=12),
    Vector(
        "retry-unterminated-block", FIELDS, "A time counts though its event does not.", b"data: a\nretry: 5\n", retry=5
    ),
    Vector(
        "retry-kept", FIELDS, "An invalid time leaves the last one.", b"retry: 5\n\nretry: x\n\nretry:\n\n", retry=5
    ),
    Vector("retry-letters", FIELDS, "Digits before letters are no time.", b"retry: 12ms\nretry: 0x10\n"),
    Vector("retry-superscript", FIELDS, "Digits of other forms are none.", "retry: ²\nretry: ①\n".encode()),
    Vector("retry-nul", FIELDS, "NUL is no digit.", b"retry: 1\0\n"),
    Vector(
        "retry-no-event",
        FIELDS,
        "A block of a time is no event, and resets the type.",
        b"event: x\nretry: 1\n\ndata: b\n\n",
        (B,),
        retry=1,
    ),
    Vector(
        "retry-between",
        FIELDS,
        "A time between lines of data parts nothing.",
        b"data: a\nretry: 3\ndata: b\n\n",
        (event("a\nb"),),
        retry=3,
    ),
    Vector(
        "retry-is-no-id", FIELDS, "A time leaves the ID alone.", b"id: 1\n\nretry: 3\n\n", retry=3, last_event_id="1"
    ),
)

FIELD_VECTORS = _FIELD_LINES + _DATA + _EVENT_TYPES + _IDS + _RETRIES
