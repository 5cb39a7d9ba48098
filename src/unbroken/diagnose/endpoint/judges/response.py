"""Judges of the connection and the response's head."""

from __future__ import annotations

import re
from typing import Final

from unbroken.diagnose.endpoint.connection import Failure, FailureKind
from unbroken.diagnose.endpoint.evidence import BODY_STARTS, Evidence, media_type
from unbroken.diagnose.endpoint.exchange import End, Head
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
from unbroken.diagnose.endpoint.recording import Recording

__all__ = [
    "judge_accel_buffering",
    "judge_cache_control",
    "judge_connect",
    "judge_connection_header",
    "judge_content_length",
    "judge_content_type",
    "judge_http_versions",
    "judge_status",
]

EVENT_STREAM: Final = "text/event-stream"
HOP_BY_HOP: Final = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
"""RFC 9113, 8.2.2: not on HTTP/2."""
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)
_MAX_AGE = re.compile(r"(?:s-maxage|max-age)=0*[1-9]")


def judge_connect(evidence: Evidence) -> Judgements:
    """Whether there is a connection at all."""
    main = evidence.main
    if main is None:
        yield failed(
            f"no connection{_way(evidence)} yet when the time was up: {evidence.options.total_seconds:g} s",
            "Nothing was seen of the endpoint.",
            "unreachable",
            "see whether it answers at all; with more time (`total_timeout`) it is told what takes so long",
        )
    elif isinstance(main, Failure):
        yield failed(
            f"{main.kind}: {evidence.secrets.shown(main.text)}",
            "No client reaches the endpoint.",
            "unreachable",
            "see that the server runs, on this host and port, with this scheme",
        )
    elif evidence.target.scheme == "https" and evidence.options.verify is False:
        yield noted("connected by TLS; the certificate was not verified, as asked")
    else:
        yield passed("connected by TLS" if evidence.target.scheme == "https" else "connected")


def judge_status(evidence: Evidence) -> Judgements:
    """Whether the answer is the one for a stream."""
    main = evidence.reading
    if main.head is None:
        yield _no_head(main, evidence)
    elif evidence.stopped_at:
        yield failed(
            f"{main.head.status} {_location(main.head, evidence)}: {evidence.stopped_at}",
            "Clients do not come to a stream this way.",
            "not-an-event-stream",
            "give clients the address that the redirects lead to",
        )
    elif main.head.status == 200:
        yield passed(f"200{_way(evidence)}")
    else:
        yield _other_status(main.head, evidence)


def _no_head(main: Recording, evidence: Evidence) -> Judgement:
    if main.ended is None:
        return _out_of_time(main, evidence) if "reading" in evidence.skipped else _no_response(main)
    if main.ended.how in (End.UNSENT, End.UNTAKEN):
        return failed(
            evidence.secrets.shown(main.ended.text),
            "The endpoint got no whole request.",
            None,
            "see what the server expects as method, headers and body, and whether it reads the body",
        )
    no_http = f"what came is no HTTP: {evidence.secrets.shown(main.ended.text)}"
    return failed(
        {End.RESET: "reset without a response", End.MALFORMED: no_http}.get(
            main.ended.how, "closed without a response"
        ),
        "What listens there speaks no HTTP, or fails before it answers.",
        "unreachable",
        "see that the scheme and the port belong together, and look into the server's log",
    )


def _out_of_time(main: Recording, evidence: Evidence) -> Judgement:
    return failed(
        f"no response within {seconds(main.left_at)}{_way(evidence)}, and then {evidence.skipped['reading']}",
        "It may still answer: the examination ended before a client would have given up.",
        None,
        "ask for the address that the redirects lead to, or give more time (`total_timeout`)",
    )


def _no_response(main: Recording) -> Judgement:
    return failed(
        f"no response within {seconds(main.left_at)}",
        "The endpoint keeps its headers until its first event, something blocks its event loop, or a hop collects "
        "what it sends. Hops give up what does not answer.",
        "proxy-buffering",
        "ask the application's own port: if that answers at once, it is the hop; send the headers before the "
        "first event, and a heartbeat while there is none",
    )


def _way(evidence: Evidence) -> str:
    count = len(evidence.redirects)
    if not count:
        return ""
    return f" after {counted(count, 'redirect')}, at {evidence.secrets.shown(evidence.target.shown)}"


def _location(head: Head, evidence: Evidence) -> str:
    following = evidence.target.join(head.get("location") or "")
    return f"to {evidence.secrets.shown(following.shown)}" if following and head.get("location") else "without Location"


def _other_status(head: Head, evidence: Evidence) -> Judgement:
    status, way = head.status, _way(evidence)
    if status == 204:
        return noted(
            f"204{way}",
            "EventSource takes it as the end, and never comes back.",
            "endless-reconnect",
            "fine if there is nothing to stream any more",
        )
    means, cause, fix = _EXPLAINED.get(status, _UNEXPLAINED[status >= 500])
    retry_after = head.get("retry-after")
    told = f", Retry-After: {evidence.secrets.shown(retry_after, 40)}" if retry_after else ""
    means = f"{means} EventSource gives up for good on any status but 200."
    return failed(f"{status}{way}{told}", means, cause, fix)


_GATEWAY: Final = (
    "A hop got no answer from the server behind it.",
    "unreachable",
    "see that the server runs, and that the hop knows its address",
)
_BUSY: Final = (
    "The server, or a limit, refuses more streams.",
    None,
    "let clients come back later, with a fetch-based client that reads Retry-After",
)
_CREDENTIALS: Final = ("The credential is missing or not enough.", None, "send one as a header")
_EXPLAINED: Final[dict[int, tuple[str, str | None, str]]] = {
    401: _CREDENTIALS,
    403: _CREDENTIALS,
    404: ("There is no such route.", None, "see the path, and the prefix that a hop adds or takes"),
    405: ("The route is there, for another method.", None, "give the method that the route is for"),
    429: _BUSY,
    502: _GATEWAY,
    503: _BUSY,
    504: _GATEWAY,
}
_UNEXPLAINED: Final[tuple[tuple[str, str | None, str], tuple[str, str | None, str]]] = (
    ("The server refuses the request.", None, "see what the route expects"),
    ("The endpoint failed before its stream began.", "producer-failed", "look into the server's log"),
)


def judge_content_type(evidence: Evidence) -> Judgements:
    """Whether clients take the body as events."""
    main = evidence.reading
    given = main.head.get("content-type") if main.head else None
    if media_type(main) != EVENT_STREAM:
        yield _wrong_type(main, given, evidence)
        return
    charset = _CHARSET.search(given or "")
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        yield warned(
            evidence.secrets.shown(given or ""),
            "Clients decode as UTF-8 whatever is said here: other text arrives garbled.",
            "wrong-framing",
            "encode as UTF-8, and say `text/event-stream`",
        )
    else:
        yield passed(evidence.secrets.shown(given or ""))


def _wrong_type(main: Recording, given: str | None, evidence: Evidence) -> Judgement:
    saw = evidence.secrets.shown(given) if given else "no Content-Type"
    looks = ", though the body is an event stream" if main.beginning.startswith(BODY_STARTS) else ""
    lost = ", behind a redirect: a login page?" if evidence.redirects else ""
    return failed(
        f"{saw}{looks}{lost}",
        "EventSource closes for good on any other type than text/event-stream.",
        "not-an-event-stream",
        "return an `EventSourceResponse`, or set the media type" if looks else "ask for the address of the stream",
    )


def judge_cache_control(evidence: Evidence) -> Judgements:
    """Whether caches are told to keep away."""
    head = evidence.reading.head
    given = head.get("cache-control") if head else None
    if given is None:
        yield warned(
            "no Cache-Control",
            "A cache on the way may keep the stream, and give one client what was another's.",
            "missing-headers",
            "send `Cache-Control: no-store, no-transform`",
        )
    elif _is_uncached(given.lower()):
        yield passed(evidence.secrets.shown(given))
    else:
        yield warned(
            evidence.secrets.shown(given),
            "It lets caches keep the stream.",
            "missing-headers",
            "send `Cache-Control: no-store, no-transform`",
        )


def _is_uncached(given: str) -> bool:
    return "no-store" in given or "no-cache" in given or ("max-age=0" in given and not _MAX_AGE.search(given))


def judge_accel_buffering(evidence: Evidence) -> Judgements:
    """Whether hops that understand it are told not to buffer."""
    head = evidence.reading.head
    assert head is not None
    given = head.get("x-accel-buffering")
    if given is not None and given.lower() == "no":
        yield passed("X-Accel-Buffering: no")
    elif given is None and _is_nginx(head):
        yield noted(
            "no X-Accel-Buffering, behind nginx",
            "nginx keeps the header to itself, so its absence says nothing. What is before this nginx does not see it.",
            "missing-headers",
            "send `X-Accel-Buffering: no`; behind two of nginx set `proxy_buffering off` in the outer one",
        )
    else:
        yield warned(
            f"X-Accel-Buffering: {evidence.secrets.shown(given, 20)}" if given else "no X-Accel-Buffering",
            "An nginx with its default settings, put before this, holds events back.",
            "missing-headers",
            "send `X-Accel-Buffering: no`",
        )


def _is_nginx(head: Head | None) -> bool:
    return head is not None and "nginx" in (head.get("server") or "").lower()


def judge_content_length(evidence: Evidence) -> Judgements:
    """Whether the body's length was known beforehand."""
    head = evidence.reading.head
    given = head.get("content-length") if head else None
    if given is None:
        yield passed("none")
    else:
        yield warned(
            f"Content-Length: {evidence.secrets.shown(given, 20)}",
            "The whole body was there before its first byte was sent: it was collected, or it is no stream.",
            "proxy-buffering",
            "stream it; if the application does, look for a middleware or hop that collects",
        )


def judge_connection_header(evidence: Evidence) -> Judgements:
    """Whether HTTP/2 carries what it must not."""
    if isinstance(evidence.http2, Recording) and evidence.http2.head:
        found = _hop_by_hop(evidence.http2.head)
        yield _on_http2(found) if found else passed("none on HTTP/2")
        return
    head = evidence.reading.head
    given = head.get("connection") if head else None
    # nginx sets its own on HTTP/1.1, whatever it got, and none on HTTP/2.
    if given and given.lower() != "close" and not _is_nginx(head):
        yield noted(
            f"Connection: {evidence.secrets.shown(given, 40)} on HTTP/1.1",
            "It does nothing there. Passed on by HTTP/2, it makes WebKit drop the stream.",
            "connection-header",
            "leave it out: servers send what is needed themselves",
        )
    else:
        yield passed("none")


def _hop_by_hop(head: Head) -> list[str]:
    return [name for name in HOP_BY_HOP if head.get(name) is not None]


def _on_http2(found: list[str]) -> Judgement:
    return failed(
        f"{', '.join(found)} on HTTP/2",
        "HTTP/2 forbids it, and WebKit (Safari) drops the whole stream.",
        "connection-header",
        "do not set it in the application; servers send what is needed themselves",
    )


def judge_http_versions(evidence: Evidence) -> Judgements:
    """Which versions of HTTP the endpoint can be reached by."""
    head = evidence.reading.head
    three = ", HTTP/3 by Alt-Svc" if head and "h3" in (head.get("alt-svc") or "") else ""
    one = f"HTTP/{head.http_version if head else '1.1'}"
    if isinstance(evidence.http2, Recording) and evidence.http2.head:
        way = "by ALPN" if evidence.target.scheme == "https" else "with prior knowledge"
        status = evidence.http2.head.status
        yield passed(f"{one}, HTTP/2 {way}{three}") if status == 200 else _refused(f"status {status}")
    elif evidence.target.scheme == "http":
        yield passed(f"{one}; browsers speak HTTP/2 by TLS only")
    elif "http2" in evidence.skipped:
        yield skipped(f"{one}{three}; HTTP/2: {evidence.skipped['http2']}")
    else:
        yield _without_http2(evidence, one, three)


def _without_http2(evidence: Evidence, one: str, three: str) -> Judgement:
    seen = evidence.http2
    if isinstance(seen, Failure) and seen.kind is FailureKind.VERSION:
        return noted(
            f"{one} only{three}",
            "Browsers open at most six such connections to a host, over all tabs; each stream takes one.",
            None,
            "offer HTTP/2 in the server or in the proxy before it",
        )
    if isinstance(seen, Failure):
        return skipped(f"{one}{three}; HTTP/2: {evidence.secrets.shown(seen.text)}")
    if seen is not None and seen.ended and seen.ended.how in (End.UNSENT, End.UNTAKEN):
        return skipped(f"{one}{three}; HTTP/2: {evidence.secrets.shown(seen.ended.text)}")
    return _refused("no response")


def _refused(got: str) -> Judgement:
    return warned(
        f"{got} by HTTP/2, 200 by HTTP/1.1",
        "Browsers take HTTP/2 where it is offered, and get no stream.",
        "not-an-event-stream",
        "see what the HTTP/2 side of the server or proxy does otherwise",
    )
