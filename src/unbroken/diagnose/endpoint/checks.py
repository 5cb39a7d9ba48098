"""The checks, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from unbroken.diagnose.endpoint.evidence import Evidence
from unbroken.diagnose.endpoint.judges import probes, response, stream, timing
from unbroken.diagnose.endpoint.judges.judgement import Judgements

__all__ = ["CHECKS", "Check", "Needs"]


class Needs(IntEnum):
    """How far an examination has to come for a check to have something to look at."""

    NOTHING = 0
    RESPONSE = 1
    SUCCESS = 2
    """A response of status 200."""
    STREAM = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at."""

    name: str
    summary: str
    causes: tuple[str, ...]
    """The causes of the catalogue that it can point to."""
    needs: Needs = field(repr=False)
    judge: Callable[[Evidence], Judgements] = field(repr=False, compare=False)
    thorough: bool = False
    """Whether only a thorough examination makes it."""


CHECKS: Final = (
    Check("connect", "A connection: name, port, TLS.", ("unreachable",), Needs.NOTHING, response.judge_connect),
    Check(
        "status",
        "The status, behind at most five redirects.",
        ("not-an-event-stream", "unreachable", "proxy-buffering", "producer-failed", "endless-reconnect"),
        Needs.RESPONSE,
        response.judge_status,
    ),
    Check(
        "content-type",
        "The media type and its charset.",
        ("not-an-event-stream", "wrong-framing"),
        Needs.SUCCESS,
        response.judge_content_type,
    ),
    Check(
        "cache-control",
        "Whether caches are kept away.",
        ("missing-headers",),
        Needs.STREAM,
        response.judge_cache_control,
    ),
    Check(
        "accel-buffering",
        "Whether hops are told not to buffer.",
        ("missing-headers",),
        Needs.STREAM,
        response.judge_accel_buffering,
    ),
    Check(
        "content-length",
        "Whether the body's length was known beforehand.",
        ("proxy-buffering",),
        Needs.STREAM,
        response.judge_content_length,
    ),
    Check(
        "connection-header",
        "Headers that HTTP/2 forbids.",
        ("connection-header",),
        Needs.STREAM,
        response.judge_connection_header,
    ),
    Check(
        "http-versions",
        "HTTP/1.1, HTTP/2 by ALPN (thorough: without TLS too), HTTP/3 by Alt-Svc.",
        ("not-an-event-stream",),
        Needs.STREAM,
        response.judge_http_versions,
    ),
    Check(
        "compression",
        "Whether gzip is applied, and whether events still arrive.",
        ("compressed-stream",),
        Needs.STREAM,
        probes.judge_compression,
    ),
    Check(
        "first-event",
        "Seconds to the head, the first byte, the first event.",
        ("idle-timeout",),
        Needs.STREAM,
        timing.judge_first_event,
    ),
    Check(
        "buffering",
        "Whether events come when they are made.",
        ("proxy-buffering",),
        Needs.STREAM,
        timing.judge_buffering,
    ),
    Check(
        "heartbeat",
        "A sign of life in silence, and its form.",
        ("idle-timeout",),
        Needs.STREAM,
        timing.judge_heartbeat,
    ),
    Check(
        "framing",
        "Every byte of the stream.",
        ("wrong-framing", "not-an-event-stream"),
        Needs.STREAM,
        stream.judge_framing,
    ),
    Check("ids", "Whether events have ids to go on from.", ("resume-ignored",), Needs.STREAM, stream.judge_ids),
    Check("retry", "The reconnection time.", ("endless-reconnect",), Needs.STREAM, stream.judge_retry),
    Check(
        "resume",
        "What a client gets that comes back with Last-Event-ID.",
        ("resume-ignored",),
        Needs.STREAM,
        stream.judge_resume,
    ),
    Check("end", "How the stream ends.", ("producer-failed", "wrong-framing"), Needs.STREAM, stream.judge_end),
    Check(
        "reconnection",
        "Whether clients of a stream that ended come back for ever.",
        ("endless-reconnect",),
        Needs.STREAM,
        stream.judge_reconnection,
    ),
    Check(
        "silence",
        "How long a silence the hops allow, up to the bound that is given.",
        ("idle-timeout", "age-limit"),
        Needs.STREAM,
        timing.judge_silence,
    ),
    Check(
        "slow-reader",
        "A reader that stops for a while.",
        ("slow-reader", "loop-starved"),
        Needs.STREAM,
        probes.judge_slow_reader,
        thorough=True,
    ),
    Check(
        "half-close",
        "A client that sends FIN and reads on.",
        ("half-open-peer", "loop-starved"),
        Needs.STREAM,
        probes.judge_half_close,
        thorough=True,
    ),
    Check(
        "reset",
        "A client that breaks off, and the one after it.",
        ("loop-starved",),
        Needs.STREAM,
        probes.judge_reset,
        thorough=True,
    ),
    Check(
        "several",
        "Several streams at once.",
        ("thread-held", "dependency-held", "loop-starved"),
        Needs.STREAM,
        probes.judge_several,
        thorough=True,
    ),
    Check(
        "head",
        "Whether HEAD is answered, and ends.",
        ("head-request",),
        Needs.STREAM,
        probes.judge_head,
        thorough=True,
    ),
)
"""Every check, in the order in which a client meets what they look at."""
