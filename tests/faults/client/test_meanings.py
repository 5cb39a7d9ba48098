"""What each fault means: the error, the states, and whether it is tried again."""

from __future__ import annotations

import socket
import zlib
from typing import Any

import pytest

from unbroken.errors import (
    ConnectFailed,
    EventTooLarge,
    LineTooLong,
    ReconnectFailed,
    StreamFailed,
    StreamRevoked,
    StreamStalled,
    StreamTruncated,
    UnexpectedResponse,
)

from .origin import CHUNKED, Answer, answering, chunk, event, head, refusing, streaming
from .reading import READERS, Read

both = pytest.mark.parametrize("read", READERS.values(), ids=READERS)

GONE = refusing("204 No Content")
ONE = streaming(event(1))
TWO = streaming(event(2))


def control(name: str, reason: str) -> bytes:
    """Return a control event, as a server of this package sends it."""
    return b'event: stream-%b\ndata: {"reason": "%b"}\n\n' % (name.encode(), reason.encode())


def squeezed(body: bytes) -> bytes:
    """Compress, and leave open whether more follows."""
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(body) + compressor.flush(zlib.Z_SYNC_FLUSH)


GZIP = head("Content-Encoding: gzip", "Transfer-Encoding: chunked")
LENGTH = head("Content-Length: 1000")
TEN = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

BREAKS: dict[str, tuple[Answer, type[Exception] | None]] = {
    "closed-http-1.0": (streaming(event(1), begin=TEN), None),
    "closed-http-1.1": (ONE, None),
    "last-chunk": (streaming(chunk(event(1)), chunk(b""), begin=CHUNKED), None),
    "fin-between-chunks": (streaming(chunk(event(1)), begin=CHUNKED), StreamTruncated),
    "fin-within-chunk": (streaming(chunk(event(1)), chunk(event(2))[:9], begin=CHUNKED), StreamTruncated),
    "fin-before-length": (streaming(event(1), begin=LENGTH), StreamTruncated),
    "reset": (streaming(event(1), end="reset"), StreamTruncated),
    "reset-within-line": (streaming(event(1), b"id: 2\nda", end="reset"), StreamTruncated),
    "no-chunk": (streaming(chunk(event(1)), b"what?\r\n", begin=CHUNKED), StreamTruncated),
    "gzip-cut": (streaming(chunk(squeezed(event(1) + event(2))[:-8]), begin=GZIP), StreamTruncated),
    "silent": (streaming(event(1), end="hold"), StreamStalled),
    "shutdown": (streaming(event(1) + control("end", "shutdown"), end="hold"), None),
    "max-age": (streaming(event(1) + control("end", "max_age"), end="hold"), None),
    "limit": (streaming(event(1) + control("end", "limit"), end="hold"), StreamTruncated),
    "producer-failed": (streaming(event(1) + control("error", "producer_error"), end="hold"), StreamFailed),
}
"""How a stream may break behind its first event, and what is said of it."""
QUICK = {name: broken for name, broken in BREAKS.items() if name != "silent"}
IN_TIME = {BREAKS["shutdown"][0], BREAKS["max-age"][0]}
"""Ends of the server's time, and not of the stream."""


def patience(error: type[Exception] | None) -> float:
    """Return the seconds until the watchdog bites: where it is not meant to, it must not on a busy machine either."""
    return 0.5 if error is StreamStalled else 10.0


@both
@pytest.mark.parametrize(("answer", "error"), BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_is_asked_for_again(answer: Answer, error: type[Exception] | None, read: Read) -> None:
    """Behind the last event that came whole, whatever way it broke; and the program is told how."""
    with answering(answer, TWO, GONE) as origin:
        reading = read(origin.url, idle_timeout=patience(error))
    assert (reading.data, origin.places) == (["1", "2"], [None, "1", "2"])
    assert (reading.states, reading.errors) == ("ococx", [error, None, None])
    assert (reading.error, reading.stats.connections) == (None, 2)


@both
@pytest.mark.parametrize(("answer", "error"), QUICK.values(), ids=QUICK)
def test_only_faults_are_asked_again(answer: Answer, error: type[Exception] | None, read: Read) -> None:
    """With reconnect="faults" a stream that ends in good order has ended."""
    with answering(answer, TWO) as origin:
        reading = read(origin.url, idle_timeout=10, reconnect="faults")
    again = error is not None or answer in IN_TIME
    assert (reading.data, reading.states) == ((["1", "2"], "ocox") if again else (["1"], "ox"))
    assert reading.error is None


@both
@pytest.mark.parametrize(("answer", "error"), QUICK.values(), ids=QUICK)
def test_nothing_is_asked_again(answer: Answer, error: type[Exception] | None, read: Read) -> None:
    """With reconnect="never" the fault is raised, behind the events before it; and so is the end of a server's time."""
    with answering(answer) as origin:
        reading = read(origin.url, idle_timeout=10, reconnect="never")
    if answer in IN_TIME:
        error = StreamTruncated
    assert (reading.data, reading.states, len(origin.requests)) == (["1"], "ox", 1)
    assert type(reading.error) is (error or type(None))


ENDS: dict[str, tuple[Answer, type[Exception] | None]] = {
    "204": (GONE, None),
    "completed": (streaming(event(2) + control("end", "completed"), end="hold"), None),
    "revoked": (streaming(event(2) + control("end", "revoked"), end="hold"), StreamRevoked),
    "404": (refusing("404 Not Found", body=b"no such feed"), UnexpectedResponse),
    "401": (refusing("401 Unauthorized"), UnexpectedResponse),
    "not-modified": (refusing("304 Not Modified"), UnexpectedResponse),
    "html": (streaming(b"<p>Hello", begin=head(content_type="text/html")), UnexpectedResponse),
    "no-type": (streaming(b"data: 2\n\n", begin=b"HTTP/1.1 200 OK\r\n\r\n"), UnexpectedResponse),
    "206": (streaming(event(2), begin=head(status="206 Partial Content")), UnexpectedResponse),
    "redirect-nowhere": (refusing("302 Found"), UnexpectedResponse),
    "long-line": (streaming(event(2) + b"data: " + b"x" * 2000, end="hold"), LineTooLong),
    "large-event": (streaming(event(2) + b"data: 12345678\n" * 20, end="hold"), EventTooLarge),
}
"""What ends a stream for good, whatever else may be tried again."""


@both
@pytest.mark.parametrize(("answer", "error"), ENDS.values(), ids=ENDS)
def test_an_end_is_an_end(answer: Answer, error: type[Exception] | None, read: Read) -> None:
    """Nothing more is asked for, and an end that is none in good order is raised behind all events before it."""
    with answering(ONE, answer, streaming(event(3))) as origin:
        reading = read(origin.url, max_line_bytes=1000, max_event_bytes=100)
    assert reading.data in (["1"], ["1", "2"])
    assert (reading.states[:2], reading.states[-1]) == ("oc", "x")
    assert type(reading.error) is (error or type(None))
    assert reading.last_event_id == reading.data[-1]


@both
def test_a_redirect_loop_is_an_end(read: Read) -> None:
    """It is told from a server that is away."""
    with answering(ONE, refusing("302 Found", {"Location": "/"})) as origin:
        reading = read(origin.url)
    assert (reading.data, reading.states) == (["1"], "ocx")
    assert isinstance(reading.error, UnexpectedResponse)


@both
def test_what_cannot_be_decompressed_is_truncated(read: Read) -> None:
    """The broken piece is thrown away, and asked for again."""
    with answering(streaming(chunk(squeezed(event(1)) + b"\xff" * 90), begin=GZIP), ONE, TWO, GONE) as origin:
        reading = read(origin.url)
    assert (reading.data, reading.errors[0], reading.states) == (["1", "2"], StreamTruncated, "ocococx")


@both
def test_a_refusal_tells_what_the_server_said(read: Read) -> None:
    """Status, headers and the beginning of the body are in the error, at the very first connection too."""
    with answering(refusing("403 Forbidden", {"X-Reason": "quota"}, b"come back tomorrow")) as origin:
        reading = read(origin.url)
    assert isinstance(reading.error, UnexpectedResponse)
    assert (reading.error.status, reading.error.headers["x-reason"]) == (403, "quota")
    assert reading.error.body == b"come back tomorrow"
    assert "come back tomorrow" in str(reading.error)


@both
def test_a_refusal_that_never_ends_is_cut_off(read: Read) -> None:
    """No more than 64 KiB of its body are read."""
    endless = [b"x" * 65536] * 4
    with answering(streaming(*endless, begin=head(status="500 Oops"), end="hold")) as origin:
        reading = read(origin.url, reconnect="never")
    assert isinstance(reading.error, UnexpectedResponse)
    assert reading.error.body == b"x" * 65536


@both
@pytest.mark.parametrize("status", ["408 X", "425 X", "429 X", "500 X", "502 X", "503 X", "504 X"])
def test_a_server_that_is_busy_is_asked_again(status: str, read: Read) -> None:
    """At the first connection, too; and the place is kept."""
    with answering(refusing(status), ONE, refusing(status), TWO, GONE) as origin:
        reading = read(origin.url)
    assert (reading.data, origin.places) == (["1", "2"], [None, None, "1", "1", "2"])
    assert reading.states == "cocco" + "cx"


@both
def test_other_answers_may_be_named_that_pass(read: Read) -> None:
    """`retry_statuses` replaces the default ones."""
    with answering(refusing("404 Not Yet"), ONE, refusing("503 Busy")) as origin:
        reading = read(origin.url, retry_statuses={404})
    assert (reading.data, reading.states) == (["1"], "cocx")
    assert isinstance(reading.error, UnexpectedResponse)


@both
@pytest.mark.parametrize(
    "piece", [b"", b"HTTP/1.1 200 OK\r\nContent-Ty", b"nonsense\r\n\r\n"], ids=["no", "half", "odd"]
)
def test_no_answer_is_a_failed_connection(piece: bytes, read: Read) -> None:
    """None at all, half a head, and what is no HTTP."""
    with answering(streaming(begin=piece), ONE, GONE) as origin:
        reading = read(origin.url)
    assert (reading.data, reading.errors, reading.states) == (["1"], [ConnectFailed, None, None], "cocx")


@both
def test_an_answer_that_does_not_come_is_a_failed_connection(read: Read) -> None:
    """The watchdog watches from the request on."""
    with answering(streaming(begin=b"", end="hold"), ONE, GONE) as origin:
        reading = read(origin.url, idle_timeout=0.5)
    assert (reading.data, reading.errors) == (["1"], [ConnectFailed, None, None])


@both
def test_attempts_are_counted_in_a_row(read: Read) -> None:
    """`max_attempts` gives up after so many failures, one after the other; what came in between counts them anew."""
    busy = refusing("503 Busy")
    with answering(busy, busy, ONE, busy, busy, busy, TWO) as origin:
        reading = read(origin.url, max_attempts=3)
    assert (reading.data, reading.states, len(origin.requests)) == (["1"], "ccocccx", 6)
    assert isinstance(reading.error, ReconnectFailed)
    assert reading.error.attempts == 3
    assert isinstance(reading.error.__cause__, UnexpectedResponse)


@both
def test_a_server_that_hangs_up_at_once_counts_as_failing(read: Read) -> None:
    """An event stream without a byte is no life."""
    with answering(ONE, streaming()) as origin:
        reading = read(origin.url, max_attempts=4)
    assert (reading.data, len(origin.requests)) == (["1"], 5)
    assert isinstance(reading.error, ReconnectFailed)


@both
def test_nobody_there(read: Read) -> None:
    """A refused connection is tried again as often as told, and is the cause of the last error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reading = read(f"http://127.0.0.1:{port}/", max_attempts=3)
    expected: list[type[Exception]] = [ConnectFailed, ConnectFailed, ReconnectFailed]
    assert (reading.states, reading.errors) == ("ccx", expected)
    assert isinstance(reading.error, ReconnectFailed)
    assert (reading.error.attempts, type(reading.error.__cause__)) == (3, ConnectFailed)


@both
@pytest.mark.parametrize(
    "options", [{"end": "[DONE]"}, {"end": lambda event: event.data == "[DONE]"}], ids=["data", "fn"]
)
def test_a_promised_end(options: dict[str, Any], read: Read) -> None:
    """It ends the reading, and is not yielded; what comes behind it is not read."""
    with answering(streaming(event(1) + b"id: 2\ndata: [DONE]\n\n" + event(3), end="hold")) as origin:
        reading = read(origin.url, **options)
    assert (reading.data, reading.error, reading.states) == (["1"], None, "ox")
    assert reading.last_event_id != "3"


@both
@pytest.mark.parametrize(("reconnect", "states"), [("never", "ox"), ("faults", "ocox"), ("always", "ocox")])
def test_a_promised_end_that_does_not_come(reconnect: str, states: str, read: Read) -> None:
    """A body that ends in good order, but without the event that was to end it, is truncated."""
    with answering(ONE, streaming(event(2) + b"data: [DONE]\n\n")) as origin:
        reading = read(origin.url, end="[DONE]", reconnect=reconnect)
    assert (reading.states, reading.errors[0]) == (states, StreamTruncated)
    assert isinstance(reading.error, StreamTruncated) == (reconnect == "never")


@both
def test_a_post_is_not_sent_twice(read: Read) -> None:
    """Unless the program says so: the first fault is raised."""
    with answering(streaming(event(1), end="reset")) as origin:
        reading = read(origin.url, method="POST", json={"ask": "me"})
    assert (reading.data, type(reading.error), len(origin.requests)) == (["1"], StreamTruncated, 1)
    assert origin.requests[0].body == b'{"ask":"me"}'


@both
def test_a_post_may_be_sent_twice(read: Read) -> None:
    """With its body, and the place."""
    with answering(streaming(event(1), end="reset"), GONE) as origin:
        reading = read(origin.url, method="POST", json={"ask": "me"}, reconnect="always")
    assert (reading.data, reading.error) == (["1"], None)
    assert [(request.body, request.asked_from) for request in origin.requests] == [
        (b'{"ask":"me"}', None),
        (b'{"ask":"me"}', "1"),
    ]


@both
def test_events_behind_the_end_of_a_connection_are_not_skipped(read: Read) -> None:
    """What stands behind a control event in the same piece was not read: the place is before it."""
    piece = event(1) + control("end", "shutdown") + event(2)
    with answering(streaming(piece, end="hold"), TWO, GONE) as origin:
        reading = read(origin.url)
    assert (reading.data, origin.places) == (["1", "2"], [None, "1", "2"])


@both
def test_an_id_in_an_unfinished_event_is_no_place(read: Read) -> None:
    """Nor is its data an event."""
    with answering(streaming(event(1) + b"id: 2\ndata: 2\n", end="reset"), TWO, GONE) as origin:
        reading = read(origin.url)
    assert (reading.data, origin.places) == (["1", "2"], [None, "1", "2"])


def test_utf8_whatever_the_charset_says() -> None:
    """WHATWG 9.2.4: an event stream is always UTF-8; checked for a body whose characters are cut."""
    body = "data: é€𝄞\n\n".encode()
    lying = head("Connection: close", content_type="text/event-stream; charset=iso-8859-1")
    for read in READERS.values():
        with answering(streaming(*(body[n : n + 1] for n in range(len(body))), begin=lying), GONE) as origin:
            assert read(origin.url).data == ["é€𝄞"]


@both
def test_an_event_at_the_restored_place_is_dropped_each_time(read: Read) -> None:
    """A server that repeats it repeats it at each connection, and the first may break right behind it."""
    with answering(ONE, ONE, streaming(event(1), event(2)), GONE) as origin:
        reading = read(origin.url, last_event_id="1")
    assert (reading.data, origin.places) == (["2"], ["1", "1", "1", "2"])
    assert reading.stats.duplicates == 3


@both
def test_another_event_of_the_same_id_is_none(read: Read) -> None:
    """A duplicate has the type and the data of what was read, too, in the same order: all of an ID may be repeated."""
    same = b"id: 1\ndata: another\n\n"
    with answering(
        streaming(event(1)), streaming(event(1), same, same), streaming(event(1), same, same), GONE
    ) as origin:
        reading = read(origin.url)
    assert reading.data == ["1", "another", "another"]
