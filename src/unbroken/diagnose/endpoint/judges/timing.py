"""Judges of when things arrive: the first event, buffering, heartbeats, silence."""

from __future__ import annotations

import itertools
from statistics import median
from typing import Final

from unbroken.diagnose.endpoint.arrival import Burst, HeldBack, all_at_the_end, bursts, cut_blocks, held_back
from unbroken.diagnose.endpoint.evidence import Evidence
from unbroken.diagnose.endpoint.exchange import End
from unbroken.diagnose.endpoint.judges.judgement import (
    Judgement,
    Judgements,
    counted,
    failed,
    noted,
    passed,
    seconds,
    size,
    skipped,
    warned,
)
from unbroken.diagnose.endpoint.recording import Recording, TimedEvent
from unbroken.observe.known_hops import known
from unbroken.observe.observer import Hop

__all__ = ["cut_by_hop", "judge_buffering", "judge_first_event", "judge_heartbeat", "judge_silence"]

LATE_HEAD: Final = 2.0
"""Seconds. Heroku's router gives up a response that does not begin within 30 s; people much sooner."""
LONG_HEARTBEAT: Final = 30.0
"""Seconds: half of the 60 s after which the commonest hops cut."""
SHORTEST_TIMEOUT: Final = 5.0
"""Seconds. No hop is known that cuts earlier."""
HEARTBEAT_WORDS: Final = frozenset({"ping", "pong", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
HOP_HEADERS: Final = ("via", "cf-ray", "x-cache", "x-amz-cf-id", "x-served-by", "x-varnish")
HOP_SERVERS: Final = (
    "nginx",
    "openresty",
    "cloudflare",
    "cloudfront",
    "envoy",
    "varnish",
    "haproxy",
    "apache",
    "awselb",
)
COMPARE: Final = (
    "ask the application's own port and compare; in nginx set `proxy_buffering off`, see docs/operations/proxies.md"
)


def judge_first_event(evidence: Evidence) -> Judgements:
    """How long a client waits for the head, and for the first event."""
    main = evidence.reading
    saw = f"head after {seconds(main.head_at)}"
    if main.pieces:
        saw += f", first byte after {seconds(main.pieces[0].at)}"
    if main.events:
        saw += f", first event after {seconds(main.events[0].at)}"
    if main.head_at > LATE_HEAD:
        yield warned(
            saw,
            "Until then nothing was sent: a client does not know whether it is connected, and a hop may give up.",
            "idle-timeout",
            "send the head before the first event (unbroken's `start_grace`), and heartbeats while there is none",
        )
    elif main.events:
        yield passed(saw)
    else:
        yield noted(f"{saw}, no event in {seconds(main.left_at)}", "Nothing happened, or something holds it back.")


def judge_buffering(evidence: Evidence) -> Judgements:
    """Whether something on the way collects events before it passes them on."""
    main = evidence.reading
    found = bursts(main)
    hop = _visible_hop(evidence)
    if blocks := cut_blocks(found):
        yield failed(
            f"{blocks.count} blocks of about {size(blocks.size)} that end within an event, with quiet after each",
            "A hop or a middleware fills a buffer and passes it on when it is full: events come late, and in heaps.",
            "proxy-buffering",
            COMPARE,
        )
    elif together := held_back(main, found):
        yield _held_back(together, hop)
    elif burst := all_at_the_end(main, found):
        yield _late(burst, hop)
    elif not found and main.ended is None:
        yield _nothing(main, hop, evidence.options.heartbeat_within)
    else:
        yield passed(f"{counted(len(main.events), 'event')} in {counted(len(main.pieces), 'piece')}")


def _held_back(together: HeldBack, hop: str) -> Judgement:
    saw = f"{together.events} events came at once whose own times are {seconds(together.spread)} apart"
    means = "Events come late: the source polls, or a hop collects them."
    if not hop:
        return noted(saw, means, "proxy-buffering", COMPARE)
    return warned(f"{saw}, through {hop}", means, "proxy-buffering", COMPARE)


def _late(burst: Burst, hop: str) -> Judgement:
    saw = f"all {burst.events} events came at once after {seconds(burst.since)}, with the end of the stream"
    if not hop:
        return noted(saw, "The source made them at once, or something collected them.", "proxy-buffering", COMPARE)
    return warned(f"{saw}, through {hop}", "That is how a buffering hop looks.", "proxy-buffering", COMPARE)


def _nothing(main: Recording, hop: str, heartbeat_within: float) -> Judgement:
    saw = f"no byte of the body in {seconds(main.left_at)}"
    # A source that heeds its heartbeat may have had nothing to send until then.
    if not hop or main.last_silence < heartbeat_within:
        return skipped(f"{saw}: nothing to judge by")
    means = "The source is silent, without a heartbeat, or the hop holds back what it sends."
    return warned(f"{saw}, through {hop}", means, "proxy-buffering", COMPARE)


def _visible_hop(evidence: Evidence) -> str:
    """Return how a hop calls itself, empty if none shows."""
    head = evidence.reading.head
    assert head is not None
    server = head.get("server") or ""
    if any(name in server.lower() for name in HOP_SERVERS):
        return evidence.secrets.shown(server, 40)
    header = next((name for name in HOP_HEADERS if head.get(name)), None)
    return f"what sends {header}" if header else ""


def judge_heartbeat(evidence: Evidence) -> Judgements:
    """Whether a silent stream shows that it lives."""
    main = evidence.reading
    waited = evidence.options.heartbeat_within
    event = _event_heartbeat(main)
    comments = [comment for comment in main.comments if comment.at > main.head_at + 0.2]
    if event:
        yield _by_event(event, main, evidence)
    elif comments:
        yield _by_comment([comment.at for comment in comments], comments[0].silence)
    elif main.longest_silence >= waited:
        yield warned(
            f"no heartbeat in {seconds(main.longest_silence)} of silence",
            "Hops cut what is silent, most after 60 s, and neither side learns that the other is gone.",
            "idle-timeout",
            "send a comment after 15 s of silence: unbroken's responses do, `EventStreamGuard` does it for others",
        )
    elif main.ended is not None:
        yield skipped(f"none was due before the end: the longest silence was {seconds(main.longest_silence)}")
    else:
        yield noted(
            f"none was due: the longest silence was {seconds(main.longest_silence)}",
            f"Whether there is one shows after {seconds(waited)} of silence.",
            None,
            "watch longer, at a time when there are few events",
        )


def _by_comment(times: list[float], silence: float) -> Judgement:
    period = median(b - a for a, b in itertools.pairwise(times)) if len(times) > 1 else silence
    saw = f"a comment every {seconds(period)}" if len(times) > 1 else f"a comment after {seconds(period)} of silence"
    if period <= LONG_HEARTBEAT:
        return passed(saw)
    return warned(
        saw, "Hops with a timeout of 60 s cut the stream if one is late.", "idle-timeout", "send one every 15 s"
    )


def _event_heartbeat(main: Recording) -> list[TimedEvent]:
    """Return the events that only say that the stream lives."""
    found = [timed for timed in main.events if _says_only_alive(timed)]
    return found if len(found) > 1 else []


def _says_only_alive(timed: TimedEvent) -> bool:
    event = timed.event
    if event.event != "message":
        return event.event.lower() in HEARTBEAT_WORDS
    return event.data.strip(' "').lower() in HEARTBEAT_WORDS


def _by_event(found: list[TimedEvent], main: Recording, evidence: Evidence) -> Judgement:
    times = [timed.at for timed in found]
    period = median(b - a for a, b in itertools.pairwise(times))
    if found[0].event.event != "message":
        name = evidence.secrets.shown(found[0].event.event, 40)
        return passed(f"an event {name!r} every {seconds(period)}")
    return warned(
        f"an event without a type as a heartbeat, every {seconds(period)}",
        "Every client's `onmessage` gets it, and has to tell it from data.",
        "idle-timeout",
        "send a comment (`: keep-alive`), or give the event a type of its own",
    )


def cut_by_hop(recording: Recording) -> Hop | None:
    """Say by what a hop cut the stream, None if it was not cut, or not by a hop as far as one can see."""
    if recording.ended is None or recording.ended.how not in (End.TRUNCATED, End.RESET):
        return None
    silence, age = recording.last_silence, recording.left_at
    if silence >= SHORTEST_TIMEOUT and silence >= 0.9 * recording.longest_silence:
        return Hop.SILENCE
    # By its age a stream is only accused if a hop is known for it: producers fail at any age.
    return Hop.AGE if age >= SHORTEST_TIMEOUT and "none that is known" not in known(Hop.AGE, age) else None


def judge_silence(evidence: Evidence) -> Judgements:
    """How long a silence, or a life, the hops on the way allow."""
    main = evidence.reading
    cut = cut_by_hop(main)
    if cut is Hop.SILENCE:
        silence = main.last_silence
        yield failed(
            f"cut after {seconds(silence)} of silence: {known(Hop.SILENCE, silence)}",
            "A hop drops the stream whenever nothing is said for so long. What is sent meanwhile is lost.",
            "idle-timeout",
            f"send a heartbeat at least every {silence / 3:.0f} s, or raise the hop's timeout",
        )
    elif cut is Hop.AGE:
        yield warned(
            f"cut at an age of {seconds(main.left_at)}: {known(Hop.AGE, main.left_at)}",
            "A hop ends every stream at that age, whatever it sends.",
            "age-limit",
            "raise the hop's limit, or end streams in good order before it (`max_age`)",
        )
    elif not evidence.options.silence:
        yield skipped(f"not asked to wait: the longest silence was {seconds(main.longest_silence)}")
    else:
        yield passed(f"outlived {seconds(main.longest_silence)} of silence, and an age of {seconds(main.left_at)}")
