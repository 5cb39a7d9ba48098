"""`unbroken tail`: a stream that breaks, one that ends, and one that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.cli.tail.support import Answer, answering, run
from tests.diagnose.endpoint.serving import closed_port, serving
from unbroken import EventSourceResponse, ServerSentEvent
from unbroken.testing import Fault, Faults, running_proxy

LAST = 30


def _numbers(last_event_id: str) -> Iterator[ServerSentEvent]:
    for number in range(int(last_event_id) + 1, LAST + 1):
        yield ServerSentEvent(f"number {number}", id=str(number), retry=1)


async def _events(request: Request) -> Response:
    after = request.headers.get("last-event-id", "0")
    return Response(status_code=204) if after == str(LAST) else EventSourceResponse(_numbers(after))


def test_a_hop_that_breaks() -> None:
    """Each event is printed once and in order, whatever happens between; each break is told, and each return."""
    # The first one in order: a reset may come before the head was read, and the first connection has to succeed.
    faults = [
        Faults(fault=fault, after_events=3 + number, slice_bytes=size)
        for number, (fault, size) in enumerate([(Fault.FIN, 7), (Fault.RST, None), (Fault.RST, 1)])
    ]
    with (
        serving(Starlette(routes=[Route("/events", _events)])) as url,
        running_proxy("127.0.0.1", int(url.rpartition(":")[2]), faults=faults) as proxy,
    ):
        done = run(f"http://127.0.0.1:{proxy.port}/events")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [f"{n}  message  number {n}" for n in range(1, LAST + 1)]
    *notices, last = done.stderr.splitlines()
    away = [line for line in notices if re.fullmatch(r"unbroken tail: \S.*; again in \d+\.\d s", line)]
    back = [line for line in notices if re.fullmatch(r"unbroken tail: open again, after \d+", line)]
    assert last == "unbroken tail: the stream has ended: nothing more comes"
    assert (len(away), len(away) + len(back)) == (len(faults) + 1, len(notices))
    assert notices[0] in away
    assert notices[1] == "unbroken tail: open again, after 3"


def test_a_stream_that_ends() -> None:
    """A GET is made again, as browsers do it, from the last id."""
    with answering(Answer(b"retry: 1\nid: 7\ndata: a\n\n"), Answer(b"id: 8\ndata: b\n\n")) as asked:
        done = run(asked.url)
    assert done.stdout == "7  message  a\n8  message  b\n"
    assert done.stderr.startswith(
        "unbroken tail: the stream ended; again in 0.0 s\nunbroken tail: open again, after 7\n"
    )
    assert asked.last_event_ids == [None, "7", "8"]


def test_without_reconnecting() -> None:
    """`--no-reconnect` ends with the stream: with exit code 2 where it broke off."""
    with answering(Answer(b"data: a\n\n"), Answer(b"data: b\n\n", "cut")) as asked:
        assert run(asked.url, "--no-reconnect").exit_code == 0
        done = run(asked.url, "--no-reconnect")
    assert (done.exit_code, done.stdout, len(asked.heads)) == (2, "-  message  b\n", 2)
    assert len(done.stderr.splitlines()) == 1
    assert "doctor" not in done.stderr


def test_a_body_is_sent_once() -> None:
    """A POST may do something twice, so it is made again only if that was said."""
    stream = Answer(b"retry: 1\ndata: a\n\n")
    with answering(stream, stream, stream) as asked:
        assert run(asked.url, "-d", "x").stdout == "-  message  a\n"
        assert len(asked.heads) == 1
        assert run(asked.url, "-d", "x", "--reconnect").stdout == "-  message  a\n-  message  a\n"
    assert asked.bodies == [b"x"] * 4


def test_the_event_that_ends_it() -> None:
    """`--end` is not printed and is the end; a stream without it has not ended well."""
    with answering(Answer(b"data: a\n\ndata: [DONE]\n\n", "hold"), Answer(b"data: a\n\n")) as asked:
        done = run(asked.url, "--end", "[DONE]", "-X", "POST")
        assert (done.exit_code, done.stdout) == (0, "-  message  a\n")
        done = run(asked.url, "--end", "[DONE]", "-X", "POST")
    assert (done.exit_code, done.stdout) == (2, "-  message  a\n")
    assert "ended without the event that was to end it" in done.stderr


def test_a_silent_connection() -> None:
    """After `--idle-timeout` it is dead, and made anew."""
    with answering(Answer(b"retry: 1\nid: 1\ndata: a\n\n", "hold"), Answer(b"id: 2\ndata: b\n\n")) as asked:
        done = run(asked.url, "--idle-timeout", "0.1", "--count", "2")
    assert (done.exit_code, done.stdout) == (0, "1  message  a\n2  message  b\n")
    assert "not a byte within 0.1 s" in done.stderr


# The first connection.


def test_nothing_listens() -> None:
    """Most likely the URL is wrong: one line, exit code 2, after one attempt."""
    done = run(closed_port())
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "`unbroken doctor` with the same URL looks closer" in done.stderr


@pytest.mark.parametrize(
    "answer",
    [Answer(b"{}\n", content_type="application/json"), Answer(b"wait", status=503), Answer(b"gone", status=404)],
    ids=["json", "503", "404"],
)
def test_no_event_stream(answer: Answer) -> None:
    """What is there instead is said in a line with nothing that a terminal obeys: exit code 2, after one attempt."""
    with answering(answer, answer) as asked:
        done = run(asked.url)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert f"answered {answer.status}" in done.stderr
    assert len(asked.heads) == 1


def test_a_server_that_starts() -> None:
    """With `--max-attempts` the first connection is tried, too, until there is one."""
    busy = Answer(b"starting \x1b[2J", status=503)
    with answering(busy, Answer(b"data: a\n\n")) as asked:
        done = run(asked.url, "--max-attempts", "2", "--count", "1")
    assert (done.exit_code, done.stdout) == (0, "-  message  a\n")
    away, opened = done.stderr.splitlines()
    assert away.startswith("unbroken tail: answered 503, ")
    assert "\x1b" not in away
    assert opened == "unbroken tail: open"


def test_giving_up() -> None:
    """So many failures in a row are the end, with exit code 2."""
    busy = Answer(b"", status=503)
    with answering(Answer(b"retry: 1\ndata: a\n\n"), busy, busy) as asked:
        done = run(asked.url, "--max-attempts", "1")
    assert (done.exit_code, done.stdout, len(asked.heads)) == (2, "-  message  a\n", 2)
    assert "given up after 1 failed attempt" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("with_store", [False, True], ids=["", "store"])
def test_the_place_of_a_bad_end(with_store: bool, tmp_path: Path) -> None:
    """How to go on is told, unless the place is kept."""
    with answering(Answer(b"id: 7\ndata: a\n\n", "cut")) as asked:
        done = run(asked.url, "--no-reconnect", *(["--store", str(tmp_path / "place")] if with_store else []))
    assert (done.exit_code, done.stdout) == (2, "7  message  a\n")
    hint = "unbroken tail: to go on from here: --after 7"
    assert done.stderr.splitlines()[:-1] == ([] if with_store else [hint])


@pytest.mark.parametrize("body", [b"data: %b" % (b"x" * 30), b"data: 123456789012345\n" * 2], ids=["line", "event"])
def test_an_event_that_is_too_large(body: bytes) -> None:
    """It ends it, and the option that allows it is named."""
    with answering(*[Answer(b"id: 7\ndata: a\n\n" + body + b"\n\n", "hold")] * 2) as asked:
        done = run(asked.url, "--max-event-bytes", "22")
        assert run(asked.url, "--max-event-bytes", "40", "--count", "2").exit_code == 0
    assert (done.exit_code, done.stdout) == (2, "7  message  a\n")
    place, why = done.stderr.splitlines()
    assert place.endswith("--after 7")
    assert why.endswith("; that is --max-event-bytes here")


def test_nothing_to_come() -> None:
    """204 is a stream that has ended: exit code 0."""
    with answering() as asked:
        done = run(asked.url)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "unbroken tail: the stream has ended: nothing more comes\n"


# The place.


def test_after() -> None:
    """It is sent as the last event ID."""
    with answering() as asked:
        run(asked.url, "--after", "a b")
    assert asked.last_event_ids == ["a b"]


def test_store(tmp_path: Path) -> None:
    """The next run goes on behind the last event that was printed, not behind the last that came."""
    place = tmp_path / "place"
    with answering(Answer(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n", "hold")) as asked:
        done = run(asked.url, "--store", str(place), "--count", "2")
        assert (done.exit_code, done.stdout) == (0, "1  message  a\n2  message  b\n")
        run(asked.url, "--store", str(place))
    assert asked.last_event_ids == [None, "2"]


def test_an_id_that_cannot_be_sent() -> None:
    """The client's warning is told, and no ID that would be another one if it were given to `--after`."""
    with answering(Answer(b"retry: 1\nid: a\x01b\ndata: 1\n\n"), Answer(b"data: 2\n\n", "cut")) as asked:
        done = run(asked.url, "--max-attempts", "1")
    assert asked.last_event_ids == [None, None, None]
    notices = done.stderr.splitlines()
    assert ("holds what no header can hold" in notices[1], notices[2]) == (True, "unbroken tail: open again")
    assert "--after" not in done.stderr


def test_two_places(tmp_path: Path) -> None:
    """It is not guessed which of them is meant."""
    done = run("http://127.0.0.1:1/", "--store", str(tmp_path / "place"), "--after", "1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "give one of them" in done.stderr
