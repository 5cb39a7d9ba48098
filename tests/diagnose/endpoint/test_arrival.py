"""What times of arrival prove, and what they do not."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from unbroken.diagnose.endpoint.arrival import Blocks, HeldBack, all_at_the_end, bursts, cut_blocks, held_back
from unbroken.diagnose.endpoint.evidence import Evidence, SlowRead
from unbroken.diagnose.endpoint.exchange import End, Ended, Head
from unbroken.diagnose.endpoint.judges.probes import judge_slow_reader
from unbroken.diagnose.endpoint.judges.stream import judge_end
from unbroken.diagnose.endpoint.judges.timing import judge_buffering, judge_first_event, judge_heartbeat, judge_silence
from unbroken.diagnose.endpoint.options import Options
from unbroken.diagnose.endpoint.recording import Recording
from unbroken.diagnose.endpoint.target import Secrets, parse_target

HEAD = Head(200, "1.1", (("content-type", b"text/event-stream"),))


def recorded(
    pieces: Iterable[tuple[float, bytes]], left_at: float, ended: Ended | None = None, head_at: float = 0.0
) -> Recording:
    """Return the recording of pieces that came at these times."""
    recording = Recording(10**7)
    recording.take_head(head_at, HEAD)
    for at, data in pieces:
        recording.take(at, data)
    recording.ended = ended
    recording.finish(left_at)
    return recording


def said_of(recording: Recording) -> Evidence:
    """Return the evidence of nothing but this."""
    target = parse_target("http://example.org/")[0]
    return Evidence(target, Options(), Secrets("", ()), target, main=recording)


def in_blocks(size: int, event: bytes, interval: float, count: int) -> list[tuple[float, bytes]]:
    """Return a stream of events, cut every `size` bytes."""
    body = event * (size * count // len(event) + 1)
    return [((number + 1) * interval, body[number * size : (number + 1) * size]) for number in range(count)]


EVENT = b"data: " + b"x" * 90 + b"\n\n"


@pytest.mark.parametrize("size", [4096, 8192, 16384, 32768])
def test_blocks_of_a_buffer_are_found(size: int) -> None:
    """Pieces of one size that end within an event, with quiet after each, are a buffer's."""
    blocks = cut_blocks(bursts(recorded(in_blocks(size - 1, EVENT, 0.5, 6), 3.1)))
    assert blocks == Blocks(4, size - 1)


INNOCENT = {
    "a fast source": [(0.01 * number, EVENT) for number in range(200)],
    "bursts of whole events": [(0.5 * number, EVENT * 40) for number in range(1, 8)],
    "large events in packets": [
        (0.5 * number + 0.01 * part, (b"data: ", b"x" * 1400, b"y" * 1400, b"\n\n")[part])
        for number in range(1, 6)
        for part in range(4)
    ],
    "a slow line": in_blocks(1460, EVENT, 0.05, 60),
    "blocks of different sizes": [
        piece for size in (700, 5000, 12000, 900, 3000) for piece in in_blocks(size, EVENT, size / 2000, 1)
    ],
    "two blocks": in_blocks(4095, EVENT, 0.5, 3),
    "tokens in parts": [(0.3 * number, b"data: x" if number % 2 else b"\n\n") for number in range(1, 20)],
}


@pytest.mark.parametrize("name", list(INNOCENT))
def test_what_producers_do_is_no_block(name: str) -> None:
    """A source that is fast, bursty, large or slow raises no alarm."""
    assert cut_blocks(bursts(recorded(sorted(INNOCENT[name]), 10.0))) is None


def timed(*times: float | str) -> bytes:
    """Return events that say when they were made."""
    return b"".join(b"data: %s\n\n" % json.dumps({"id": 17, "at": at}).encode() for at in times)


T = 1_800_000_000.0


@pytest.mark.parametrize(
    "times",
    [
        (T, T + 1, T + 2),
        (T * 1000, T * 1000 + 1000, T * 1000 + 2000),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:01.000Z", "2026-11-22T10:00:02+00:00"),
    ],
)
def test_events_that_say_when_they_were_made_were_late(times: tuple[float | str, ...]) -> None:
    """Events made seconds apart while we waited, that came together, came late; in any usual notation."""
    whole = [int(time) if isinstance(time, float) and time > 1e12 else time for time in times]
    recording = recorded([(2.1, timed(*whole))], 3.0)
    assert held_back(recording, bursts(recording)) == HeldBack(3, 2.0)


POLLED = [(2.0 * number, timed(*(T + 2.0 * number - late for late in (1.6, 1.1, 0.6, 0.1)))) for number in range(1, 4)]


@pytest.mark.parametrize(("server", "outcome"), [(b"uvicorn", "info"), (b"nginx/1.22.1", "warn")])
def test_a_source_that_polls_is_not_accused(server: bytes, outcome: str) -> None:
    """Rows that are fetched every 2 s come together in health: a hop is suspected only where one shows."""
    recording = recorded(POLLED, 7.0)
    recording.head = Head(200, "1.1", (("server", server),))
    [said] = judge_buffering(said_of(recording))
    assert (said.outcome, said.cause) == (outcome, "proxy-buffering")
    assert "the source polls" in said.means


def test_blocks_tell_more_than_the_events_times() -> None:
    """Where both are seen, the blocks are what is told: no source that polls cuts within an event."""
    events = b"".join(timed(T + number / 10)[:-2] + b" " * 60 + b"\n\n" for number in range(200))
    pieces = [(2.0 * number, events[2048 * (number - 1) : 2048 * number]) for number in range(1, 7)]
    recording = recorded(pieces, 13.0)
    assert held_back(recording, bursts(recording)) is not None
    [said] = judge_buffering(said_of(recording))
    assert (said.outcome, said.cause) == ("fail", "proxy-buffering")


def test_a_replay_of_old_events_is_not_late() -> None:
    """What was made before we came may come at once."""
    recording = recorded([(0.05, timed(T, T + 60, T + 120)), (1.0, timed(T + 180))], 2.0)
    assert held_back(recording, bursts(recording)) is None


def test_events_that_come_as_they_are_made_are_not_late() -> None:
    """Times that pass as the events do."""
    recording = recorded([(number * 1.0, timed(T + number)) for number in range(5)], 5.0)
    assert held_back(recording, bursts(recording)) is None


def test_everything_at_the_end_is_a_suspicion() -> None:
    """One burst after a silence, with the end: found; with a stream that goes on, or at once: not."""
    complete = Ended(End.COMPLETE)
    late = recorded([(2.0, EVENT * 5)], 2.01, complete)
    assert all_at_the_end(late, bursts(late)) is not None
    for other in (recorded([(2.0, EVENT * 5)], 5.0), recorded([(0.1, EVENT * 5)], 0.11, complete)):
        assert all_at_the_end(other, bursts(other)) is None


def test_a_cut_after_a_known_silence_names_the_hop() -> None:
    """60 s of silence and a cut are nginx's, among others, and not the producer's failure."""
    evidence = said_of(recorded([(0.1, EVENT)], 60.2, Ended(End.TRUNCATED)))
    [silence], [end] = judge_silence(evidence), judge_end(evidence)
    assert (silence.outcome, silence.cause) == ("fail", "idle-timeout")
    assert "nginx (proxy_read_timeout)" in silence.saw
    assert end.outcome == "info"


def test_a_cut_at_a_known_age_names_the_hop() -> None:
    """A busy stream that is cut at 300 s is Cloud Run's, among others."""
    pieces = [(number * 1.0, EVENT) for number in range(300)]
    [silence] = judge_silence(said_of(recorded(pieces, 300.0, Ended(End.TRUNCATED))))
    assert (silence.outcome, silence.cause) == ("warn", "age-limit")
    assert "Google Cloud Run" in silence.saw


def test_a_cut_at_any_other_time_is_the_producers() -> None:
    """An age that no hop is known for accuses no hop."""
    pieces = [(number * 1.0, EVENT) for number in range(100)]
    evidence = said_of(recorded(pieces, 100.0, Ended(End.TRUNCATED)))
    [silence], [end] = judge_silence(evidence), judge_end(evidence)
    assert silence.outcome == "skip"
    assert (end.outcome, end.cause) == ("fail", "producer-failed")


@pytest.mark.parametrize(("period", "outcome"), [(15.0, "pass"), (45.0, "warn")])
def test_a_heartbeat_is_judged_by_its_period(period: float, outcome: str) -> None:
    """Every 15 s is well, every 45 s too seldom for a hop of 60 s."""
    pieces = [(period * number, b": keep-alive\n\n") for number in range(1, 4)]
    [said] = judge_heartbeat(said_of(recorded(pieces, period * 3.5)))
    assert said.outcome == outcome


def test_one_comment_at_the_start_is_no_heartbeat() -> None:
    """A greeting says nothing of the silence after it."""
    [said] = judge_heartbeat(said_of(recorded([(0.01, b": welcome\n\n")], 25.0)))
    assert (said.outcome, said.cause) == ("warn", "idle-timeout")


@pytest.mark.parametrize(("head_at", "outcome"), [(0.5, "pass"), (2.5, "warn")])
def test_a_head_that_comes_late_is_warned_of(head_at: float, outcome: str) -> None:
    """A client that hears nothing for 2 s does not know whether it is connected."""
    [said] = judge_first_event(said_of(recorded([(3.0, EVENT)], 4.0, head_at=head_at)))
    assert said.outcome == outcome


@pytest.mark.parametrize(("server", "outcome"), [(b"uvicorn", "info"), (b"nginx/1.22.1", "warn")])
def test_a_suspicion_is_a_warning_only_where_a_hop_shows(server: bytes, outcome: str) -> None:
    """Everything at the end: a source may do so, and a hop that shows itself more likely does."""
    recording = recorded([(2.0, EVENT * 5)], 2.01, Ended(End.COMPLETE))
    recording.head = Head(200, "1.1", (("server", server),))
    [said] = judge_buffering(said_of(recording))
    assert (said.outcome, said.cause) == (outcome, "proxy-buffering")


@pytest.mark.parametrize(("waited", "outcome"), [(5.0, "skip"), (25.0, "warn")])
def test_a_quiet_stream_behind_a_hop_is_given_time(waited: float, outcome: str) -> None:
    """A heartbeat is due after a while only: a short silence accuses no hop, a long one does."""
    recording = recorded([], waited)
    recording.head = Head(200, "1.1", (("server", b"nginx/1.22.1"),))
    [said] = judge_buffering(said_of(recording))
    assert said.outcome == outcome
    assert ("without a heartbeat" in said.means) == (outcome == "warn")


QUIET = [(15.0, b": ping\n\n")]
LIVELY = [(0.5 * number, EVENT) for number in range(50)]


@pytest.mark.parametrize(("pieces", "outcome"), [(QUIET, "skip"), (LIVELY, "warn")], ids=["quiet", "lively"])
def test_a_slow_reader_is_only_missed_by_a_stream_that_speaks(pieces: list[tuple[float, bytes]], outcome: str) -> None:
    """Nothing within 5.5 s is no wonder where the stream is silent for 15 s, and one where it speaks each second."""
    evidence = said_of(recorded(pieces, 25.0))
    evidence.slow = SlowRead(recorded([], 5.5), 0, 3.0)
    [said] = judge_slow_reader(evidence)
    assert said.outcome == outcome
    assert "nothing came afterwards" in said.saw


def test_a_recording_is_bounded() -> None:
    """However much comes, no more is kept than the bounds say, and the recording knows that it is full."""
    recording = Recording(100_000)
    recording.take_head(0.0, HEAD)
    count = 0
    while not recording.is_full:
        count += 1
        recording.take(count / 100, EVENT)
    assert recording.received <= 100_000 + len(EVENT)
    assert len(recording.pieces) == count
