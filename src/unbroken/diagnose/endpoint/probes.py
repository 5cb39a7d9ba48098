"""The requests that an examination makes, and in which manner."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from unbroken.diagnose.endpoint.asking import HTTP2, Asker, Live, request_headers
from unbroken.diagnose.endpoint.connection import Failure
from unbroken.diagnose.endpoint.evidence import (
    Evidence,
    HeadAnswer,
    Reset,
    SlowRead,
    came_to_its_end,
    is_event_stream,
    tells_gap,
)
from unbroken.diagnose.endpoint.exchange import Head
from unbroken.diagnose.endpoint.options import Options
from unbroken.diagnose.endpoint.recording import Recording
from unbroken.diagnose.endpoint.target import HARMLESS, MASK, Target
from unbroken.diagnose.endpoint.verdict import PlannedRequest

__all__ = ["PROBES", "Probe", "planned", "skip_reason"]

MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
KEEPS_METHOD: Final = frozenset({307, 308})
THOROUGH_ONLY: Final = "only a thorough examination does this"

# What EventSource can send as a header, and what a server can take.
_SENDABLE_ID = re.compile(rb"[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff]{0,1022}[\x21-\x7e\x80-\xff])?")


async def read(asker: Asker, evidence: Evidence) -> None:
    """Read the stream as a browser would, through its redirects."""
    for _ in range(MOST_REDIRECTS + 1):
        evidence.main = None  # if the time is up while the next one connects, the last redirect is not the answer
        async with asker.ask("reading") as live:
            if isinstance(live, Failure):
                evidence.main = live
                return
            evidence.main = live.recording
            head = await live.read_head()
            following = _redirect(head, evidence) if head else None
            if following is None:
                await _watch(live.read, live.recording, evidence.options)
                return
        evidence.target = asker.target = following
    evidence.stopped_at = f"after {MOST_REDIRECTS} redirects there was one more"


async def _watch(read: Callable[..., Awaitable[None]], recording: Recording, options: Options) -> None:
    if recording.head is None:
        return
    await read(options.watch_seconds, lambda seen: len(seen.events) >= options.event_limit)
    if options.silence and is_event_stream(recording):
        await read(options.silence)


def _redirect(head: Head, evidence: Evidence) -> Target | None:
    if head.status not in REDIRECTS:
        return None
    if evidence.options.method != "GET" and head.status not in KEEPS_METHOD:
        evidence.stopped_at = f"a redirect of status {head.status} makes a GET of a {evidence.options.method}"
        return None
    if len(evidence.redirects) == MOST_REDIRECTS:
        evidence.stopped_at = f"after {MOST_REDIRECTS} redirects there was one more"
        return None
    following = evidence.target.join(head.get("location") or "")
    if following is None or head.get("location") is None:
        evidence.stopped_at = "it leads to no URL of HTTP"
        return None
    if evidence.options.body is not None and following.origin != evidence.first.origin:
        evidence.stopped_at = "that is another origin, and the body was given for this one"
        return None
    evidence.redirects.append(head.status)
    return following


async def speak_http2(asker: Asker, evidence: Evidence) -> None:
    """Ask by HTTP/2, if the server offers it."""
    async with asker.ask("http2", protocol=HTTP2) as live:
        if isinstance(live, Failure):
            evidence.http2 = live
            return
        evidence.http2 = live.recording
        if await live.read_head():
            await live.read(evidence.patience, _has_event)


async def accept_gzip(asker: Asker, evidence: Evidence) -> None:
    """Ask for gzip, as browsers do."""
    async with asker.ask("compression", encoding="gzip") as live:
        if isinstance(live, Failure):
            evidence.compressed = live
            return
        evidence.compressed = live.recording
        head = await live.read_head()
        if head and head.get("content-encoding"):
            await live.read(evidence.patience, _has_event)


async def reconnect(asker: Asker, evidence: Evidence) -> None:
    """Come back with an ID out of the middle of what was seen: what follows it is known then."""
    evidence.asked_after = id_to_resume_from(evidence)
    async with asker.ask("reconnection", last_event_id=evidence.asked_after) as live:
        if isinstance(live, Failure):
            evidence.reconnected = live
            return
        evidence.reconnected = live.recording
        if await live.read_head():
            await live.read(evidence.patience, lambda seen: bool(seen.framing.ids) or tells_gap(seen))


def id_to_resume_from(evidence: Evidence) -> bytes | None:
    """Return it, None if the stream gave none that can be sent."""
    ids = evidence.main.framing.ids if isinstance(evidence.main, Recording) else []
    sendable = [value for value in ids if _SENDABLE_ID.fullmatch(value)]
    return sendable[(len(sendable) - 1) // 2] if sendable else None


def _has_event(recording: Recording) -> bool:
    return bool(recording.events)


async def ask_head(asker: Asker, evidence: Evidence) -> None:
    """Send HEAD, and see whether the server has done with it after the headers."""
    async with asker.ask("head", method="HEAD") as live:
        if isinstance(live, Failure):
            evidence.head = live
            return
        answered = await live.read_head() is not None
        done = answered and await live.connection.closes(evidence.options.probe_timeout)
        evidence.head = HeadAnswer(live.recording, done)


async def read_slowly(asker: Asker, evidence: Evidence) -> None:
    """Stop reading for a while, with small buffers, and go on."""
    async with asker.ask("slow-reader", tiny=True) as live:
        if isinstance(live, Failure):
            evidence.slow = live
            return
        if await live.read_head():
            await asyncio.sleep(evidence.options.slow_pause)
        before = live.recording.received
        evidence.slow = SlowRead(live.recording, before, evidence.options.slow_pause)
        await live.read(evidence.patience, lambda seen: False)


async def close_half(asker: Asker, evidence: Evidence) -> None:
    """Send FIN after the request, and go on reading."""
    async with asker.ask("half-close") as live:
        if isinstance(live, Failure):
            evidence.half_closed = live
            return
        await live.read_head()
        if live.recording.ended is not None or (
            isinstance(evidence.main, Recording) and came_to_its_end(evidence.main)
        ):
            evidence.skipped["half-close"] = "the stream ends by itself"
            return
        evidence.half_closed = live.recording
        live.connection.half_close()
        await live.read(evidence.options.probe_timeout)


async def reset_and_return(asker: Asker, evidence: Evidence) -> None:
    """Reset a running stream, and come again at once."""
    async with asker.ask("reset") as live:
        if isinstance(live, Failure):
            evidence.reset = live
            return
        await live.read_head()
        live.connection.reset()
    evidence.reset = Reset(await _first_event(asker, "reset", evidence))


async def come_in_numbers(asker: Asker, evidence: Evidence) -> None:
    """Open several connections at once."""
    count = evidence.options.connections
    all_came = asyncio.Barrier(count)
    visits = (_first_event(asker, "several", evidence, all_came) for _ in range(count))
    evidence.several = list(await asyncio.gather(*visits))


async def _first_event(
    asker: Asker, purpose: str, evidence: Evidence, all_came: asyncio.Barrier | None = None
) -> Recording | Failure:
    async with asker.ask(purpose) as live:
        if isinstance(live, Live) and await live.read_head():
            await live.read(evidence.patience, _has_event)
        if all_came is not None:  # whoever left before would make room for the others
            await all_came.wait()
        return live if isinstance(live, Failure) else live.recording


@dataclass(frozen=True, slots=True)
class Probe:
    """One kind of request."""

    name: str
    summary: str
    make: Callable[[Asker, Evidence], Awaitable[None]]
    thorough: bool = False
    method: str | None = None
    """Where it is not the user's."""


PROBES: Final = (
    Probe("reading", "read the stream", read),
    Probe("http2", "ask by HTTP/2", speak_http2),
    Probe("compression", "ask for gzip", accept_gzip),
    Probe("reconnection", "come back with Last-Event-ID", reconnect),
    Probe("slow-reader", "stop reading for a while", read_slowly, thorough=True),
    Probe("half-close", "close one half of the connection", close_half, thorough=True),
    Probe("reset", "reset the connection, and come again", reset_and_return, thorough=True),
    Probe("several", "open several connections at once", come_in_numbers, thorough=True),
    # The last one, and no quick one: an endpoint that streams to HEAD spoils the connection for whoever comes next on
    # it. Behind a proxy that keeps its connections that is somebody else's request, which then hangs (seen with Caddy).
    Probe("head", "send HEAD", ask_head, thorough=True, method="HEAD"),
)


def refusal(probe: Probe, options: Options) -> str | None:
    """Say why the options do not allow a probe, None if they do."""
    if probe.name == "reading":
        return None
    if probe.method == "HEAD" and options.method != "GET":
        return f"HEAD belongs to GET, and this is a {options.method}"
    if not options.may_repeat:
        return f"a {options.method} is made once only, unless repeating it is allowed"
    return None if options.thorough or not probe.thorough else THOROUGH_ONLY


def skip_reason(probe: Probe, evidence: Evidence) -> str | None:
    """Say why a probe is not made after what was seen, None if it is."""
    reason = refusal(probe, evidence.options)
    main = evidence.main
    if reason or probe.name == "reading":
        return reason
    if probe.name == "http2" and evidence.target.scheme == "http" and not evidence.options.thorough:
        return THOROUGH_ONLY
    if probe.name == "half-close" and evidence.target.scheme == "https":
        return "TLS has no half-close"
    if not isinstance(main, Recording) or not is_event_stream(main):
        return "there is no event stream"
    if probe.name == "reconnection" and id_to_resume_from(evidence) is None and not came_to_its_end(main):
        return "the stream sends no ids and did not end"
    return None


def planned(options: Options, authorization: str | None) -> tuple[PlannedRequest, ...]:
    """Return every request that these options, and the credentials of the URL, allow."""
    allowed = (probe for probe in PROBES if refusal(probe, options) is None)
    return tuple(_planned(probe, options, authorization) for probe in allowed)


def _planned(probe: Probe, options: Options, authorization: str | None) -> PlannedRequest:
    headers = request_headers(options, "gzip" if probe.name == "compression" else "identity", authorization)
    given = {"authorization", *(name.lower() for name, _ in options.headers)} - HARMLESS
    shown = [(name, MASK if name in given else value) for name, value in headers]
    if probe.name == "head":
        shown.append(("connection", "close"))
    if probe.name == "reconnection":
        shown.append(("last-event-id", "an id of the stream, if it sends any"))
    counts = {"reading": 1 + MOST_REDIRECTS, "reset": 2, "several": options.connections}
    return PlannedRequest(probe.name, probe.method or options.method, tuple(shown), counts.get(probe.name, 1))
