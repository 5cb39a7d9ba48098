"""The detector of hops that cut streams after a fixed time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.observe.people import AGES, Crowd, ended
from unbroken import CloseReason, EventSourceResponse
from unbroken.errors import ConfigurationError
from unbroken.observe import Finding, Hop, Observer, StreamRecord, attach, detach
from unbroken.observe import hops as hops_module
from unbroken.observe.hops import HopDetector
from unbroken.observe.known_hops import KNOWN, KnownTimeout
from unbroken.testing import Faults, running_proxy

PAGE = Path(__file__).parents[2] / "docs/operations/hop-timeouts.md"


class Told(Observer):
    """Keeps what is found."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)


@pytest.fixture
def told() -> Iterator[Told]:
    """An observer that is attached."""
    observer = Told()
    attach(observer)
    yield observer
    detach(observer)


def feed(detector: HopDetector, records: Iterable[StreamRecord]) -> None:
    """Let streams end."""
    for record in records:
        detector.closed(record)


@pytest.mark.parametrize("ages", AGES)
@pytest.mark.parametrize("heartbeat", [None, 15.0], ids=["no-heartbeat", "heartbeat"])
@pytest.mark.parametrize("events_per_second", [0.0, 0.05])
def test_people_who_leave_raise_no_alarm(
    ages: str, heartbeat: float | None, events_per_second: float, told: Told
) -> None:
    """Whoever leaves when he likes, is not taken for a hop: not for any silence, any age, any traffic."""
    for seed in range(25):
        chance = Random(seed)
        mean = chance.choice([5, 20, 60, 300])
        crowd = Crowd(mean_age=mean, ages=ages, heartbeat=heartbeat, events_per_second=events_per_second)
        feed(HopDetector(), crowd.streams(chance, 600))
    assert told.findings == []


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.builds(
            Crowd,
            mean_age=st.floats(2, 2000),
            ages=st.sampled_from(list(AGES)),
            heartbeat=st.sampled_from([None, 10.0, 15.0, 30.0]),
            arrivals_per_second=st.floats(0.1, 20),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 2**32),
)
def test_mixed_crowds_raise_no_alarm(crowds: list[Crowd], seed: int) -> None:
    """Neither do people of different habits on one route."""
    detector, chance = HopDetector(), Random(seed)
    feed(detector, [record for crowd in crowds for record in crowd.streams(chance, 300)])
    assert detector.findings() == ()


@pytest.mark.parametrize(
    ("crowd", "counts", "seconds"),
    [
        pytest.param(Crowd(cut_silence=60), Hop.SILENCE, 60, id="silent"),
        pytest.param(Crowd(cut_silence=60, mean_age=60), Hop.SILENCE, 60, id="silent, most leave before"),
        pytest.param(Crowd(cut_silence=60, events_per_second=0.02), Hop.SILENCE, 60, id="some events"),
        pytest.param(Crowd(cut_silence=30, heartbeat=45), Hop.SILENCE, 30, id="heartbeat too slow"),
        pytest.param(Crowd(cut_silence=100, share_behind_hop=0.6), Hop.SILENCE, 100, id="another way past it"),
        pytest.param(Crowd(cut_age=30, events_per_second=1, heartbeat=15), Hop.AGE, 30, id="age, events"),
        pytest.param(Crowd(cut_age=100, heartbeat=15), Hop.AGE, 100, id="age, heartbeats only"),
        pytest.param(Crowd(cut_age=60, heartbeat=15), Hop.AGE, 60, id="age is a multiple of the heartbeat"),
        pytest.param(Crowd(cut_age=29, events_per_second=0.05), Hop.AGE, 29, id="age, some silent"),
        pytest.param(Crowd(cut_age=29), Hop.SILENCE, 29, id="both fit"),
    ],
)
def test_a_hop_is_found(crowd: Crowd, counts: Hop, seconds: float, told: Told) -> None:
    """With what it counts, its time, and its route; where silence and age fit alike it is the silence."""
    for seed in range(10):
        told.findings.clear()
        feed(HopDetector(), crowd.streams(Random(seed), 150))
        assert told.findings, seed
        assert {(finding.counts, round(finding.seconds), finding.route) for finding in told.findings} == {
            (counts, seconds, "/events")
        }


def test_a_heartbeat_below_the_timeout_leaves_nothing_to_find(told: Told) -> None:
    """The hop is there still, but cuts nobody."""
    feed(HopDetector(), Crowd(cut_silence=60, heartbeat=25).streams(Random(1), 600))
    assert told.findings == []


def cut(number: int, *, seconds: float = 60.0, route: str | None = "/events") -> StreamRecord:
    """The stream that a hop cuts as the `number`th, long after the one before."""
    return ended(opened_at=1000.0 * number, age=seconds, route=route)


def test_a_hop_is_told_once_and_again_when_it_has_grown_tenfold(told: Told) -> None:
    """With the eighth stream, the eightieth and the eight-hundredth, which are more than are kept."""
    detector = HopDetector()
    numbers: list[int] = []
    for number in range(1, 900):
        detector.closed(cut(number))
        if len(told.findings) > len(numbers):
            numbers.append(number)
    assert numbers == [8, 80, 800]
    assert [(finding.streams, finding.looked_at) for finding in told.findings] == [(8, 8), (80, 80), (512, 512)]


def test_a_hop_before_several_routes_is_told_without_a_route(told: Told) -> None:
    """Once for the first, once for them all, and not for each."""
    detector = HopDetector()
    for route in ("/a", "/b", "/c", "/d"):
        feed(detector, [cut(number, route=route) for number in range(12)])
    assert [finding.route for finding in told.findings] == ["/a", None]
    assert [finding.route for finding in detector.findings()] == [None]


@pytest.mark.parametrize("route", [None, "one of many"])
def test_a_hop_shows_where_no_route_has_enough_ends_alone(route: str | None, told: Told) -> None:
    """The ends of all routes are looked at together too."""
    detector = HopDetector()
    feed(detector, [cut(number, route=route and f"/{number}") for number in range(12)])
    assert [(finding.route, finding.streams) for finding in told.findings] == [(None, 8)]


def test_a_hop_of_one_route_is_not_hidden_by_the_others(told: Told) -> None:
    """Streams elsewhere live longer, and many more there are."""
    detector = HopDetector()
    free = Crowd(mean_age=1000, route="/free").streams(Random(1), 400)
    feed(detector, [*free, *(cut(number, route="/cut") for number in range(8))])
    assert [finding.route for finding in told.findings] == ["/cut"]


def test_streams_that_came_further_are_evidence_against(told: Told) -> None:
    """However they ended: what is silent for twice as long and completes, passes no such hop."""
    detector = HopDetector()
    for number in range(40):
        detector.closed(cut(number))
        detector.closed(replace(cut(number, seconds=120), reason=CloseReason.COMPLETED))
        detector.closed(replace(cut(number, seconds=125), reason=CloseReason.SHUTDOWN))
    assert told.findings == []


@pytest.mark.parametrize("reason", [reason for reason in CloseReason if reason not in hops_module.CUT])
def test_only_ends_by_the_client_s_side_are_cuts(reason: CloseReason, told: Told) -> None:
    """What ends by our own `max_age`, or by itself after a fixed time, was cut by nobody."""
    feed(HopDetector(), [replace(cut(number), reason=reason) for number in range(100)])
    assert told.findings == []


def test_a_proxy_s_restart_is_no_timeout(told: Told) -> None:
    """It ends streams of one age and one silence, but in one moment, and twice is not often enough."""
    detector = HopDetector()
    for restart in (0.0, 5000.0):
        feed(detector, [ended(opened_at=restart + number / 100, age=60) for number in range(100)])
    assert told.findings == []


def test_losses_that_heartbeats_find_are_no_timeout(told: Told) -> None:
    """Such an age is a multiple of the heartbeat's interval, whenever the client was lost."""
    chance = Random(1)
    beats = [int(chance.expovariate(1 / 5)) + 1 for _ in range(600)]
    lost = [
        ended(
            opened_at=100.0 * number,
            age=15.0 * beat,
            silence=15.0,
            heartbeats=beat,
            reason=CloseReason.WRITE_FAILED,
        )
        for number, beat in enumerate(beats)
    ]
    feed(HopDetector(), lost)
    assert told.findings == []


@pytest.mark.parametrize(("longest", "heartbeats"), [(15.0, 3), (40.0, 0)], ids=["before-a-heartbeat", "after-longer"])
def test_a_silence_that_was_survived_before_cuts_nobody(longest: float, heartbeats: int, told: Told) -> None:
    """A stream that ends after 15 s of silence, and had a heartbeat at 15 s, or was silent for longer."""
    chance = Random(1)
    feed(
        HopDetector(),
        [
            ended(
                opened_at=1000.0 * number,
                age=chance.uniform(100, 900),
                silence=15.0,
                longest=longest,
                heartbeats=heartbeats,
            )
            for number in range(50)
        ],
    )
    assert told.findings == []


def test_one_end_on_another_route_is_chance(told: Told) -> None:
    """A hop that is known of one route stays with it."""
    detector = HopDetector()
    feed(detector, [cut(number, route="/a") for number in range(12)])
    detector.closed(cut(13, route="/b"))
    assert [finding.route for finding in told.findings] == ["/a"]


def test_findings_are_those_that_still_show() -> None:
    """A hop that is cured leaves them when its ends are no longer among the last 512; `clear` is quicker."""
    detector = HopDetector()
    feed(detector, [cut(number) for number in range(20)])
    assert [finding.streams for finding in detector.findings()] == [20]
    feed(detector, [ended(opened_at=number, age=1.0) for number in range(511)])
    assert detector.findings() == ()
    feed(detector, [cut(number) for number in range(20)])
    assert detector.findings() != ()
    detector.clear()
    assert detector.findings() == ()


def test_memory_is_bounded() -> None:
    """So many ends, of so many routes, so many patterns; and no record, which holds frames."""
    detector = HopDetector()
    for number in range(20_000):
        detector.closed(cut(number, seconds=6 * 1.05 ** (number // 10 % 150), route=f"/{number % 400}"))
    windows = [detector._all, *detector._routes.values()]
    assert len(windows) == 1 + hops_module.ROUTES
    assert len(detector._patterns) <= hops_module.PATTERNS
    for window in windows:
        lists = [values for axis in window.axes.values() for values in (axis.cut, axis.left, axis.reached)]
        assert all(len(values) <= hops_module.ENDS for values in (window._ends, *lists))


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.sampled_from(list(CloseReason))), max_size=40))
def test_a_window_is_what_its_last_ends_make_it(streams: list[tuple[float, float, CloseReason]]) -> None:
    """Whatever came before them leaves no trace."""
    ends = [
        hops_module._end(ended(opened_at=number, age=age, silence=silence, reason=reason))
        for number, (age, silence, reason) in enumerate(streams)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hops_module, "ENDS", 10)
        old, new = hops_module._Window(), hops_module._Window()
        for end in ends:
            old.add(end)
        for end in ends[-10:]:
            new.add(end)
    for counts in Hop:
        assert old.axes[counts].cut == new.axes[counts].cut == sorted(new.axes[counts].cut)
        assert old.axes[counts].left == new.axes[counts].left == sorted(new.axes[counts].left)
        assert old.axes[counts].reached == new.axes[counts].reached == sorted(new.axes[counts].reached)


@pytest.mark.parametrize(
    ("seconds", "named", "heartbeat"),
    [
        (60.2, ["nginx", "AWS Application Load Balancer", "Apache"], "heartbeat=25"),
        (100.3, ["Cloudflare"], "heartbeat=45"),
        (241.0, ["Azure Load Balancer"], "heartbeat=100"),
        (77.0, ["none that is known to have this time"], "heartbeat=30"),
    ],
)
def test_a_silence_is_named_and_its_cure_told(seconds: float, named: list[str], heartbeat: str, told: Told) -> None:
    """The hops with such a default, and a heartbeat below half of it."""
    feed(HopDetector(), [cut(number, seconds=seconds) for number in range(8)])
    (finding,) = told.findings
    assert all(name in finding.likely for name in named)
    assert heartbeat in finding.advice


def test_an_age_is_named_and_its_cure_told(told: Told) -> None:
    """No heartbeat helps there: `max_age` must be below it by more than its own jitter."""
    aged = [ended(opened_at=1000.0 * number, age=300.0, silence=number / 10) for number in range(8)]
    feed(HopDetector(), aged)
    (finding,) = told.findings
    assert (finding.counts, finding.likely) == (Hop.AGE, "Google Cloud Run (request timeout)")
    assert "max_age=240" in finding.advice


def test_a_time_to_look_from_must_be_positive() -> None:
    """The error names the value and what would do."""
    with pytest.raises(ConfigurationError, match="at_least=0 is out of range: give seconds"):
        HopDetector(at_least=0)


def test_threads_may_close_streams_at_once(told: Told) -> None:
    """Event loops in several threads share one detector: nothing is lost, and a hop is told once for its first ends."""
    detector = HopDetector()
    threads = [threading.Thread(target=feed, args=(detector, [cut(number) for number in range(15)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(detector._all) == 60
    assert len(told.findings) == 1


@pytest.mark.parametrize("hop", KNOWN, ids=lambda hop: f"{hop.name} {hop.seconds:g}")
def test_every_known_timeout_is_in_the_docs(hop: KnownTimeout) -> None:
    """The page's table is the code's, row by row."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines() if "|" in line]
    assert [hop.name, hop.counts, f"{hop.seconds:g} s"] in [
        [row[0].split("](")[0].strip("["), *row[1:3]] for row in rows
    ]


IDLE_TIMEOUT = 0.5


async def _greet_and_wait() -> AsyncIterator[str]:
    yield "hello"
    await asyncio.Event().wait()


@contextlib.contextmanager
def serving(heartbeat: float | None) -> Iterator[int]:
    """A real server with a stream that is silent after its first event."""

    async def endpoint(request: Request) -> EventSourceResponse:
        return EventSourceResponse(_greet_and_wait(), heartbeat=heartbeat)

    app = Starlette(routes=[Route("/events", endpoint)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def ask(port: int) -> socket.socket:
    """A client that has asked for the stream."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(b"GET /events HTTP/1.1\r\nhost: test\r\n\r\n")
    return client


def read_until(client: socket.socket, done: bytes, times: int = 1) -> None:
    """Read until `done` was received so many times, or to the end."""
    received = b""
    while received.count(done) < times and (piece := client.recv(65536)):
        received += piece


@pytest.fixture
def detector() -> Iterator[HopDetector]:
    """A detector that is attached, for a hop that is as quick as a test wants it."""
    detector = HopDetector(at_least=IDLE_TIMEOUT / 2)
    attach(detector)
    yield detector
    detach(detector)


def test_a_real_hop_is_found_and_logged(detector: HopDetector, caplog: pytest.LogCaptureFixture) -> None:
    """A proxy drops what is silent for half a second, and the log says so, and what to do."""
    with serving(None) as port, running_proxy("127.0.0.1", port, faults=Faults(idle_timeout=IDLE_TIMEOUT)) as proxy:
        deadline = time.monotonic() + 40
        while not detector.findings() and time.monotonic() < deadline:
            clients = [ask(proxy.port) for _ in range(4)]
            for client in clients:
                with client:
                    read_until(client, b"no such text")
    (finding,) = detector.findings()
    assert (finding.counts, finding.route) == (Hop.SILENCE, "/events")
    assert finding.seconds == pytest.approx(IDLE_TIMEOUT, abs=0.3)
    lines = [line for line in caplog.records if line.name == "unbroken" and line.levelno == logging.WARNING]
    assert ["heartbeat=" in line.getMessage() for line in lines] == [True]


def test_a_real_hop_cuts_nothing_that_has_a_heartbeat(detector: HopDetector) -> None:
    """Every client stays for longer than the hop's timeout, and leaves when it likes."""
    with serving(0.1) as port, running_proxy("127.0.0.1", port, faults=Faults(idle_timeout=IDLE_TIMEOUT)) as proxy:
        clients = [ask(proxy.port) for _ in range(12)]
        for number, client in enumerate(clients):
            with client:
                read_until(client, b": keep-alive", times=7 + number)
        proxy.until(lambda: all(connection.ended for connection in proxy.connections), "every end")
        assert {str(connection.ended) for connection in proxy.connections} == {"client_closed"}
    assert detector.findings() == ()
