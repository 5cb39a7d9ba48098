"""Judges of what the stream says: framing, ids, `retry`, its end."""

from __future__ import annotations

import itertools
from typing import Final

from unbroken.diagnose.endpoint.connection import Failure
from unbroken.diagnose.endpoint.evidence import Evidence, came_to_its_end, tells_gap
from unbroken.diagnose.endpoint.exchange import End
from unbroken.diagnose.endpoint.flaws import FLAWS
from unbroken.diagnose.endpoint.framing import Remark
from unbroken.diagnose.endpoint.judges.judgement import (
    Judgement,
    Judgements,
    counted,
    failed,
    noted,
    passed,
    seconds,
    skipped,
    warned,
)
from unbroken.diagnose.endpoint.judges.timing import cut_by_hop
from unbroken.diagnose.endpoint.recording import Recording

__all__ = ["judge_end", "judge_framing", "judge_ids", "judge_reconnection", "judge_resume", "judge_retry"]

LAST_EVENTS: Final = frozenset({"stream-end", "stream-error", "done", "end", "complete", "completed", "close", "error"})
SHORT_RETRY: Final = 100
LONG_RETRY: Final = 10 * 60 * 1000
NEVER_BACK: Final = "EventSource comes back after every end, for ever, unless it is told otherwise."


def judge_framing(evidence: Evidence) -> Judgements:
    """Whether every byte is an event stream's."""
    main = evidence.reading
    remarks = sorted(main.framing.remarks.values(), key=lambda remark: remark.offset)
    if remarks:
        yield from (_flaw(remark, evidence) for remark in remarks)
    elif main.pieces:
        yield passed(f"{counted(main.framing.events, 'event')}, {counted(main.decoder.comments, 'comment')}")
    else:
        yield skipped("no byte came")


def _flaw(remark: Remark, evidence: Evidence) -> Judgement:
    info = FLAWS[remark.flaw]
    times = f", {remark.count} times" if remark.count > 1 else ""
    line = f": {evidence.secrets.shown(remark.excerpt, is_cut=remark.is_cut)}" if remark.excerpt else ""
    return Judgement(
        info.outcome, f"{remark.flaw}, at byte {remark.offset}{times}{line}", info.means, info.cause, info.fix
    )


def judge_ids(evidence: Evidence) -> Judgements:
    """Whether a client can say where it stood."""
    ids = [value for value in evidence.reading.framing.ids if value]
    if not evidence.reading.events:
        yield skipped("no event came")
    elif not ids:
        yield noted(
            "none",
            "A client that comes back cannot say what it has: events in between are lost.",
            "resume-ignored",
            "send ids, and answer Last-Event-ID, if events must not be lost",
        )
    elif len(set(ids)) < len(ids):
        again = next(value for index, value in enumerate(ids) if value in ids[:index])
        yield warned(
            f"{len(ids)} ids, {len(set(ids))} of them different; again came {evidence.secrets.shown(again, 40)}",
            "An id that is not unique is no place to go on from.",
            "resume-ignored",
            "give each event an id of its own",
        )
    elif _decreases(ids):
        yield warned(
            f"{len(ids)} ids that do not increase",
            "A server that replays what is greater than Last-Event-ID skips or repeats events.",
            "resume-ignored",
            "number events in the order in which they are sent",
        )
    else:
        yield passed(f"{counted(len(ids), 'id')}, each different")


def _decreases(ids: list[bytes]) -> bool:
    # Only of numbers anything is known; other ids are opaque.
    if not all(value.isdigit() and len(value) < 40 for value in ids):
        return False
    numbers = [int(value) for value in ids]
    return any(b < a for a, b in itertools.pairwise(numbers))


def judge_retry(evidence: Evidence) -> Judgements:
    """Whether the reconnection time is sane."""
    retry = evidence.reading.decoder.retry
    if retry is None:
        yield passed("none: clients take their own, 3 to 5 s in browsers")
    elif retry < SHORT_RETRY:
        yield warned(
            f"{retry} ms",
            "All clients come back at once when the server restarts.",
            "endless-reconnect",
            "send 1000 or more, each client's a little different",
        )
    elif retry > LONG_RETRY:
        yield warned(
            f"{retry} ms", "After a cut a client stays away for so long.", None, "`retry` is in milliseconds: send 3000"
        )
    else:
        yield passed(f"{retry} ms")


def judge_resume(evidence: Evidence) -> Judgements:
    """Whether a client that comes back gets what it missed."""
    again, asked = evidence.reconnected, evidence.asked_after
    if asked is not None and "reconnection" in evidence.skipped:
        yield skipped(evidence.skipped["reconnection"])
    elif asked is None:
        yield skipped("the stream sends no ids that could be sent back")
    elif isinstance(again, Failure) or again is None or again.head is None:
        yield warned("no answer to a reconnection", "Clients that lost their stream do not get a new one.")
    elif again.head.status != 200:
        yield _not_resumed(again.head.status)
    else:
        yield _resumed(asked, again, evidence)


def _not_resumed(status: int) -> Judgement:
    if status == 204:
        return passed("204: there is nothing more for this id")
    return warned(
        f"status {status} to a request with Last-Event-ID",
        "EventSource gives up for good.",
        "resume-ignored",
        "answer an id that you do not know with a stream that tells the gap",
    )


def _resumed(asked: bytes, again: Recording, evidence: Evidence) -> Judgement:
    seen = [value for value in evidence.reading.framing.ids if value]
    came = again.framing.ids[0] if again.framing.ids else None
    shown = f"Last-Event-ID: {evidence.secrets.shown(asked, 40)}"
    after = seen[seen.index(asked) + 1 :]
    if tells_gap(again):
        return passed(f"{shown}; the gap was told")
    if came is None:
        return noted(f"{shown}; no event with an id came within {seconds(again.left_at)}")
    first = f"the first event was {evidence.secrets.shown(came, 40)}"
    if after and came == after[0]:
        return passed(f"{shown}; {first}, the one after it")
    if not after and came not in seen:
        return noted(f"{shown}; {first}: with one id nobody can tell whether something was left out")
    means = (
        "The stream starts over, and clients get events twice."
        if came in seen
        else "What was sent in between is not sent again: clients that were cut off miss it without knowing."
    )
    return warned(
        f"{shown}; {first}",
        means,
        "resume-ignored",
        "start with the event after Last-Event-ID, or say that it is gone; without that, send no ids",
    )


def judge_end(evidence: Evidence) -> Judgements:
    """How the stream ended, if it did."""
    main = evidence.reading
    ended, at = main.ended, seconds(main.left_at)
    if ended is None:
        yield passed(f"open for {at}, until we left")
    elif ended.how is End.COMPLETE:
        yield passed(f"a complete body after {at}{_last_event(evidence)}")
    elif ended.how is End.CLOSED:
        yield noted(
            f"the connection was closed after {at}{_last_event(evidence)}",
            "The body has neither length nor chunks: a client cannot tell a complete stream from one that was cut.",
            None,
            "speak HTTP/1.1 to the server, and send a last event that says so",
        )
    elif ended.how is End.MALFORMED:
        yield failed(
            f"a body that is framed wrongly: {evidence.secrets.shown(ended.text)}",
            "Clients end with an error, and come back for the same.",
            "wrong-framing",
            "let the server frame the chunks: an application sets no Transfer-Encoding",
        )
    else:
        yield _cut(main, evidence)


def _cut(main: Recording, evidence: Evidence) -> Judgement:
    how = "reset" if main.ended and main.ended.how is End.RESET else "cut within the body"
    saw = f"{how} after {seconds(main.left_at)}{_last_event(evidence)}"
    if cut_by_hop(main):
        return noted(f"{saw}: see silence")
    return failed(
        saw,
        "The producer or the server failed after the status was sent. Clients that do not look for the body's end take "
        "what they have for all.",
        "producer-failed",
        "look into the server's log; send a last event for the end, and one for an error",
    )


def _last_event(evidence: Evidence) -> str:
    events = evidence.reading.events
    if not events:
        return ", without an event"
    last = events[-1].event
    if last.event.lower() in LAST_EVENTS:
        return f", with a last event {evidence.secrets.shown(last.event, 40)!r}"
    return ", with [DONE]" if last.data == "[DONE]" else f", after {counted(len(events), 'event')}"


def judge_reconnection(evidence: Evidence) -> Judgements:
    """Whether clients of a stream that ended come back for ever."""
    again = evidence.reconnected
    if not came_to_its_end(evidence.reading):
        yield skipped("the stream did not end")
    elif isinstance(again, Recording) and again.head and again.head.status == 204:
        yield passed("a client that comes back gets 204, and stays away")
    elif isinstance(again, Recording) and again.head:
        yield noted(
            f"a client that comes back gets {again.head.status}{_last_event(evidence)}",
            NEVER_BACK,
            "endless-reconnect",
            "send a last event at which clients close, or answer 204 when they come back",
        )
    else:
        yield noted(f"not asked again{_last_event(evidence)}", NEVER_BACK, "endless-reconnect")
