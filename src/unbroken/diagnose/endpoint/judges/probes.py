"""Judges of what the further connections saw."""

from __future__ import annotations

from unbroken.diagnose.endpoint.connection import Failure
from unbroken.diagnose.endpoint.evidence import Evidence, HeadAnswer, SlowRead
from unbroken.diagnose.endpoint.exchange import End
from unbroken.diagnose.endpoint.judges.judgement import (
    Judgement,
    Judgements,
    failed,
    noted,
    passed,
    seconds,
    size,
    skipped,
    warned,
)
from unbroken.diagnose.endpoint.recording import ENCODINGS, Recording

__all__ = [
    "judge_compression",
    "judge_half_close",
    "judge_head",
    "judge_reset",
    "judge_several",
    "judge_slow_reader",
]

NO_COMPRESSION = "exclude text/event-stream from compression; upgrade Starlette to 0.46 or later; `gzip off` in nginx"


def judge_compression(evidence: Evidence) -> Judgements:
    """Whether the stream is compressed, and whether events still arrive."""
    main = evidence.main
    unasked = main.head.get("content-encoding") if isinstance(main, Recording) and main.head else None
    if unasked and unasked.lower() != "identity":
        yield failed(
            f"Content-Encoding: {evidence.secrets.shown(unasked, 20)}, though only identity was accepted",
            "A client that cannot decompress sees no event.",
            "compressed-stream",
            NO_COMPRESSION,
        )
    elif "compression" in evidence.skipped:
        yield skipped(evidence.skipped["compression"])
    elif isinstance(evidence.compressed, Recording) and evidence.compressed.head:
        yield _compressed(evidence.compressed, evidence)
    else:
        yield failed(
            "no answer to a request that accepts gzip",
            "Browsers accept gzip: they get nothing.",
            "compressed-stream",
            NO_COMPRESSION,
        )


def _compressed(recording: Recording, evidence: Evidence) -> Judgement:
    assert recording.head is not None
    encoding = recording.head.get("content-encoding")
    if not encoding or encoding.lower() == "identity":
        return passed("not compressed, though gzip was accepted")
    saw = f"Content-Encoding: {evidence.secrets.shown(encoding, 20)}"
    if encoding.lower() not in ENCODINGS:
        return warned(f"{saw}, which was not accepted", "Clients see no event.", "compressed-stream", NO_COMPRESSION)
    if recording.events:
        return noted(
            f"{saw}; the first event came after {seconds(recording.events[0].at)}",
            "It is flushed after each event here. A hop that cannot look into it cannot put heartbeats into it either.",
            "compressed-stream",
        )
    if isinstance(evidence.main, Recording) and not evidence.main.events:
        return warned(f"{saw}; no event came, nor without it", "Compressors hold back events.", "compressed-stream")
    return failed(
        f"{saw}; {size(recording.received)} came in {seconds(recording.left_at)}, and not one event",
        "The compressor waits until it has enough: browsers, which accept gzip, see no event.",
        "compressed-stream",
        NO_COMPRESSION,
    )


def judge_head(evidence: Evidence) -> Judgements:
    """Whether HEAD is answered, and ends."""
    if not isinstance(evidence.head, HeadAnswer):
        yield skipped(evidence.skipped.get("head") or "no connection")
        return
    head, done = evidence.head.recording.head, evidence.head.done
    if head is None:
        yield _held_by_head("no answer to HEAD")
    elif head.status >= 500:
        yield warned(f"status {head.status} to HEAD", "The endpoint fails on it.", "head-request", "answer with 405")
    elif not done:
        yield _held_by_head(f"status {head.status}, and the response does not end")
    else:
        yield passed(f"status {head.status} to HEAD")


def _held_by_head(saw: str) -> Judgement:
    return warned(
        saw,
        "A monitor, a crawler or a cache that asks so holds a stream open that nobody reads.",
        "head-request",
        "answer HEAD with the headers alone, or with 405",
    )


def judge_slow_reader(evidence: Evidence) -> Judgements:
    """What becomes of a reader that stops for a while."""
    slow = evidence.slow
    if "slow-reader" in evidence.skipped or not isinstance(slow, SlowRead) or slow.recording.head is None:
        yield _without(slow, evidence, "slow-reader")
        return
    came = slow.recording.received - slow.before
    pause = f"stopped for {seconds(slow.paused)}"
    ended = slow.recording.ended
    if ended and ended.how in (End.RESET, End.TRUNCATED):
        yield noted(
            f"{pause}; {size(came)} came afterwards, then the stream was cut",
            "The server, or a hop, gives up readers that are slow: clients on bad networks come back often.",
            "slow-reader",
            "fine if it is meant (`send_timeout`) and clients can resume",
        )
    elif came:
        yield passed(f"{pause}; {size(came)} came afterwards")
    elif not evidence.reading.pieces:
        yield skipped(f"{pause}; the stream says nothing, so nothing can be told")
    elif (silence := evidence.reading.longest_silence) >= (slow.paused + evidence.patience) / 2:
        # Half of it already: no stream is silent for the same time twice.
        yield skipped(
            f"{pause}; nothing came afterwards, and nothing can be told by it: "
            f"the stream was silent for {seconds(silence)} before too"
        )
    else:
        yield warned(
            f"{pause}; nothing came afterwards",
            "The stream is stuck for a client that was slow once.",
            "slow-reader",
            "bound the wait for a slow client (`send_timeout`), so that it may come back",
        )


def _without(found: object, evidence: Evidence, probe: str) -> Judgement:
    if probe in evidence.skipped:
        return skipped(evidence.skipped[probe])
    text = evidence.secrets.shown(found.text) if isinstance(found, Failure) else "no response"
    return warned(
        f"{text}, on a further connection",
        "The endpoint served one stream, and not the next.",
        "loop-starved",
        "see how many streams the server can serve at once",
    )


def judge_half_close(evidence: Evidence) -> Judgements:
    """What becomes of a client that closes its half and reads on."""
    recording = evidence.half_closed
    if "half-close" in evidence.skipped or not isinstance(recording, Recording) or recording.head is None:
        yield _without(recording, evidence, "half-close")
    elif recording.ended is None:
        yield noted(
            f"the stream goes on for {seconds(evidence.options.probe_timeout)} after the client's FIN",
            "A client that left in good order is noticed with the next write only.",
            "half-open-peer",
            "fine behind a proxy; a heartbeat bounds how long it takes",
        )
    else:
        yield passed("the stream ends with the client's FIN")


def judge_reset(evidence: Evidence) -> Judgements:
    """Whether the endpoint serves on after a client's RST."""
    if evidence.reset is None or isinstance(evidence.reset, Failure):
        yield _without(evidence.reset, evidence, "reset")
        return
    following = evidence.reset.following
    if isinstance(following, Recording) and following.head and following.head.status == 200:
        yield passed(f"the next stream began after {seconds(following.head_at)}")
        return
    saw = f"status {following.head.status}" if isinstance(following, Recording) and following.head else "no answer"
    yield failed(
        f"{saw} to the next request",
        "One client that breaks off keeps the server from serving others.",
        "loop-starved",
        "let the generator await something: see the cause",
    )


def judge_several(evidence: Evidence) -> Judgements:
    """Whether several streams at once are served."""
    if not evidence.several:
        yield _without(None, evidence, "several")
        return
    count = len(evidence.several)
    streams = [found for found in evidence.several if isinstance(found, Recording) and found.head]
    served = [stream for stream in streams if stream.head and stream.head.status == 200]
    if len(served) == count:
        yield passed(f"all of {count} at once were served{_events_in(served)}")
        return
    refused = sorted({stream.head.status for stream in streams if stream.head and stream.head.status != 200})
    saw = f"{len(served)} of {count} at once were served"
    if len(streams) == count and set(refused) <= {429, 503}:
        yield noted(
            f"{saw}, the others got {', '.join(map(str, refused))}",
            "There is a limit. EventSource gives up for good when it is refused.",
            None,
            "fine if it is meant",
        )
        return
    got = f", {', '.join(map(str, refused))}" if refused else ""
    yield failed(
        f"{saw}{got}; {count - len(streams)} got no answer",
        "Each stream holds something that there are only few of: a worker, a thread, a database connection.",
        "thread-held" if not refused else "dependency-held",
        "stream from async code that holds nothing between its events",
    )


def _events_in(served: list[Recording]) -> str:
    if not any(stream.events for stream in served):
        return ""
    with_events = sum(bool(stream.events) for stream in served)
    return f", {with_events} of them with events"
