"""Everything that is said of each kind of endpoint, behind uvicorn: no alarm too few, none too many."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from tests.cli.demo_process import running_demo
from tests.diagnose.endpoint.endpoints import WRONG, app, compressing
from tests.diagnose.endpoint.reading import Found, found, look, look_at_all, verdict
from tests.diagnose.endpoint.serving import closed_port, serving
from unbroken.diagnose.endpoint import Examination, Outcome
from unbroken.diagnose.endpoint.flaws import FLAWS

HEARTBEAT = ("heartbeat", "info", None)
NO_IDS = ("ids", "info", "resume-ignored")
NO_CACHE_CONTROL = ("cache-control", "warn", "missing-headers")
NO_ACCEL = ("accel-buffering", "warn", "missing-headers")
BARE = {NO_CACHE_CONTROL, NO_ACCEL}
ENDLESS = ("reconnection", "info", "endless-reconnect")
KEEP_ALIVE = ("connection-header", "info", "connection-header")
HEAD = ("head", "warn", "head-request")
LENGTH = ("content-length", "warn", "proxy-buffering")
NO_EVENT = ("first-event", "info", None)
NO_STREAM = ("content-type", "fail", "not-an-event-stream")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve all endpoints."""
    with serving(app()) as address:
        yield address


QUICK: dict[str, Found] = {
    "/unbroken": {HEARTBEAT},
    "/sse-starlette": {HEARTBEAT, NO_IDS, KEEP_ALIVE},
    "/fastapi/ticks": {HEARTBEAT, NO_IDS},
    "/raw": {HEARTBEAT, NO_IDS} | BARE,
    "/over": {HEARTBEAT, ("resume", "warn", "resume-ignored")},
    "/live": {HEARTBEAT, ("resume", "warn", "resume-ignored")},
    "/gap": {HEARTBEAT},
    "/bursty": {HEARTBEAT, NO_IDS},
    "/flooding": {HEARTBEAT, NO_IDS},
    "/beating/comment": {NO_IDS},
    "/beating/named": {NO_IDS},
    "/beating/nameless": {NO_IDS, ("heartbeat", "warn", "idle-timeout")},
    "/failing": {NO_IDS, ("end", "fail", "producer-failed")},
    "/finite": {NO_IDS, ENDLESS},
    "/at-once": {NO_IDS, ENDLESS},
    "/silent": {HEARTBEAT, NO_IDS},
    "/page": {NO_STREAM},
    "/guarded": {NO_STREAM},
    "/untyped": {NO_STREAM, LENGTH, NO_IDS, ENDLESS} | BARE,
    "/json": {NO_EVENT, LENGTH, ENDLESS, ("framing", "fail", "not-an-event-stream")} | BARE,
    "/round": {("status", "fail", "not-an-event-stream")},
    "/status/204": {("status", "info", "endless-reconnect")},
    "/status/401": {("status", "fail", None)},
    "/status/404": {("status", "fail", None)},
    "/status/500": {("status", "fail", "producer-failed")},
    "/status/502": {("status", "fail", "unreachable")},
    "/status/503": {("status", "fail", None)},
    "/post": {("status", "fail", None)},
}


@pytest.fixture(scope="module")
def quick(url: str) -> dict[str, Examination]:
    """Look at all of them, and at the wrong ones."""
    wrong = (f"/wrong/{number}" for number in range(len(WRONG)))
    examined = look_at_all(url + path for path in (*QUICK, *wrong))
    return {address.removeprefix(url): examination for address, examination in examined.items()}


@pytest.mark.parametrize("path", list(QUICK))
def test_a_quick_look_says_this_and_no_more(quick: dict[str, Examination], path: str) -> None:
    """Each endpoint gets exactly the verdicts that it deserves."""
    assert found(quick[path]) == QUICK[path]


THOROUGH: dict[str, Found] = {
    "/unbroken": {HEARTBEAT},
    "/sse-starlette": {HEARTBEAT, NO_IDS, KEEP_ALIVE},
    "/fastapi/ticks": {HEARTBEAT, NO_IDS},
    "/raw": {HEARTBEAT, NO_IDS, HEAD} | BARE,
    "/seats": {HEARTBEAT, NO_IDS, HEAD, ("several", "info", None)},
}


@pytest.fixture(scope="module")
def thorough(url: str) -> dict[str, Examination]:
    """Look at all of them with every probe."""
    examined = look_at_all((url + path for path in THOROUGH), thorough=True)
    return {address.removeprefix(url): examination for address, examination in examined.items()}


@pytest.mark.parametrize("path", list(THOROUGH))
def test_a_thorough_look_says_this_and_no_more(thorough: dict[str, Examination], path: str) -> None:
    """The rough probes find what only they find, and nothing at endpoints that bear them."""
    assert found(thorough[path]) == THOROUGH[path]


def test_the_demo_passes() -> None:
    """Our own demo has nothing to warn of: neither its report nor its story, which is told to open pages only."""
    with running_demo() as demo, httpx2.stream("GET", f"{demo.url}visit") as visit:
        lines = visit.iter_lines()  # kept: the page is open for as long as somebody may read on
        visitor = next(json.loads(line[6:])["visitor"] for line in lines if line.startswith("data: "))
        report, story = f"{demo.url}visit", f"{demo.url}story/unbroken?visitor={visitor}"
        examined = look_at_all([report, story], watch=0.8)
        assert found(examined[report]) == {HEARTBEAT, NO_IDS}
        assert found(examined[story]) == {HEARTBEAT}
        assert verdict(examined[story], "resume").outcome is Outcome.PASS


@pytest.mark.parametrize(("number", "name"), list(enumerate(WRONG)))
def test_wrong_frames_are_named(quick: dict[str, Examination], number: int, name: str) -> None:
    """A stream that is framed wrongly fails, or is warned of, by that flaw; the line is shown."""
    examination = quick[f"/wrong/{number}"]
    [said] = [verdict for verdict in examination.verdicts if verdict.check == "framing"]
    flaw = next(flaw for flaw in FLAWS if said.saw.startswith(flaw.value))
    assert (said.outcome, said.cause) == (FLAWS[flaw].outcome, FLAWS[flaw].cause)
    others = found(examination) - {("framing", said.outcome.value, said.cause)}
    assert others <= {NO_IDS, ENDLESS, NO_EVENT, ("resume", "warn", "resume-ignored")}


def test_a_dead_port_is_said_to_be_one() -> None:
    """Where nothing listens one check fails, and no other says anything."""
    examination = look(closed_port())
    assert found(examination) == {("connect", "fail", "unreachable")}
    assert verdict(examination, "connect").saw.startswith("refused: ")
    assert examination.failed
    assert examination.requests == ()


def test_a_name_that_is_not_there() -> None:
    """A name without an address is told from a port without a listener."""
    examination = look("http://nowhere.invalid/")
    assert found(examination) == {("connect", "fail", "unreachable")}
    assert verdict(examination, "connect").saw.startswith("name: ")


def test_tls_where_there_is_none(url: str) -> None:
    """A port that speaks no TLS is told from one that is closed."""
    examination = look(url.replace("http://", "https://"))
    assert found(examination) == {("connect", "fail", "unreachable")}
    assert verdict(examination, "connect").saw.startswith("tls: ")


def test_an_endpoint_that_never_answers(url: str) -> None:
    """Without a head in time, that is said instead of waiting for ever."""
    examination = look(f"{url}/mute", head_timeout=0.3)
    assert found(examination) == {("status", "fail", "proxy-buffering")}


def test_a_missed_heartbeat_is_warned_of_after_its_time(url: str) -> None:
    """A silence that is long enough, and without a sign of life, is a warning."""
    examination = look(f"{url}/silent", heartbeat_within=0.3)
    assert found(examination) == {("heartbeat", "warn", "idle-timeout"), NO_IDS}


def test_heartbeats_are_told_by_their_form(quick: dict[str, Examination]) -> None:
    """A comment and an event with a type pass, and are named."""
    assert verdict(quick["/beating/comment"], "heartbeat").saw.startswith("a comment every ")
    assert verdict(quick["/beating/named"], "heartbeat").saw.startswith("an event 'ping' every ")


def test_a_silence_that_was_asked_for_is_outlived(url: str) -> None:
    """The stream is kept open for as long as was asked, and the longest silence is told."""
    said = verdict(look(f"{url}/silent", watch=0.2, silence=0.5), "silence")
    assert (said.outcome, said.saw[:9]) == (Outcome.PASS, "outlived ")


def test_compression_that_holds_back_events() -> None:
    """A compressor that does not flush fails, though the same stream passes without it."""
    with serving(compressing(app())) as compressed:
        assert found(look(f"{compressed}/unbroken")) == {HEARTBEAT, ("compression", "fail", "compressed-stream")}


def test_compression_that_lets_events_through() -> None:
    """A compressor that flushes after each event is noted only."""
    with serving(compressing(app(), flush=True)) as compressed:
        assert found(look(f"{compressed}/unbroken")) == {HEARTBEAT, ("compression", "info", "compressed-stream")}


def test_compression_that_nobody_asked_for() -> None:
    """A stream that is compressed without being asked fails, and is still read."""
    with serving(compressing(app(), flush=True, ask=False)) as compressed:
        examination = look(f"{compressed}/unbroken")
        assert found(examination) == {HEARTBEAT, ("compression", "fail", "compressed-stream")}
        assert verdict(examination, "framing").outcome is Outcome.PASS
