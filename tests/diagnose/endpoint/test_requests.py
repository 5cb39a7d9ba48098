"""What is sent: never more than was said, and secrets to nobody else."""

from __future__ import annotations

import asyncio
import json
from collections import Counter as Tally
from typing import Any

import pytest

from tests.diagnose.endpoint import reading
from tests.diagnose.endpoint.endpoints import app
from tests.diagnose.endpoint.reading import FAST, found, verdict
from tests.diagnose.endpoint.serving import Counter, serving
from unbroken.diagnose.endpoint import CHECKS, Examination, Options, Outcome, Progress, examine, plan

SECRET = "s3cret-t0ken"


def look(url: str, **options: Any) -> Examination:
    """Examine with a short look: here it counts what is sent."""
    return reading.look(url, **{"watch": 0.1, "probe_timeout": 0.2, "slow_pause": 0.1, **options})


@pytest.mark.parametrize(
    ("path", "thorough"),
    [("/unbroken", False), ("/finite", False), ("/page", False), ("/round", True), ("/raw", True)],
)
def test_no_request_is_made_that_is_not_said(path: str, thorough: bool) -> None:
    """The server counts what the examination says it made, and the plan allows it, purpose by purpose."""
    counter = Counter(app())
    with serving(counter) as url:
        examination = look(url + path, thorough=thorough)
    # What uvicorn does not understand, the preface of HTTP/2, is no request to the application.
    by_http1 = [request for request in examination.requests if request.http_version == "1.1"]
    assert len(counter.requests) == len(by_http1)
    allowed = {planned.purpose: planned.at_most for planned in plan(Options(thorough=thorough))}
    made = Tally(request.purpose for request in examination.requests)
    assert all(count <= allowed[purpose] for purpose, count in made.items())
    assert examination.plan == plan(Options(thorough=thorough))


def test_the_plan_names_what_is_sent() -> None:
    """The headers of each request are those of the plan, and those that a connection needs."""
    counter = Counter(app())
    with serving(counter) as url:
        look(f"{url}/raw", headers=(("X-Key", SECRET), ("Accept", "text/event-stream, */*")))
    planned = dict(plan(Options(headers=(("X-Key", SECRET),)))[0].headers)
    method, sent = counter.requests[0]
    assert method == "GET"
    assert sent.keys() == planned.keys() | {"host"}
    assert planned["x-key"] == "***"
    assert (sent["x-key"], sent["accept"]) == (SECRET, "text/event-stream, */*")


def test_a_header_that_is_given_twice_is_sent_twice() -> None:
    """In its order, and the plan has both."""
    counter = Counter(app())
    cookies = (("Cookie", "first=1"), ("cookie", "second=2"))
    with serving(counter) as url:
        examination = look(f"{url}/raw", headers=cookies)
    sent = [value for name, value in counter.fields[0] if name == "cookie"]
    assert sent == ["first=1", "second=2"]
    assert [value for name, value in examination.plan[0].headers if name == "cookie"] == ["***", "***"]


def test_a_post_is_made_once() -> None:
    """A request that may change something is not repeated, and what needs a second one is skipped with the reason."""
    counter = Counter(app())
    with serving(counter) as url:
        examination = look(f"{url}/post", method="POST", body=b'{"q": 1}', thorough=True)
    assert [method for method, _ in counter.requests] == ["POST"]
    assert counter.requests[0][1]["content-length"] == "8"
    assert verdict(examination, "several").outcome is Outcome.SKIP
    assert "once only" in verdict(examination, "several").saw
    assert [planned.purpose for planned in examination.plan] == ["reading"]


def test_a_post_is_repeated_where_that_is_allowed() -> None:
    """With `repeat` all probes are made but HEAD, which belongs to GET."""
    counter = Counter(app())
    with serving(counter) as url:
        examination = look(f"{url}/post", method="POST", body=b"{}", repeat=True, thorough=True)
    assert {method for method, _ in counter.requests} == {"POST"}
    assert verdict(examination, "several").outcome is Outcome.PASS
    assert verdict(examination, "head").outcome is Outcome.SKIP


def test_no_credential_is_in_a_result_though_the_server_repeats_it() -> None:
    """Neither a header's value nor the URL's password or query is shown, and no control character either."""
    counter = Counter(app())
    with serving(counter) as url:
        address = url.replace("http://", "http://anna:pa55word@")
        examination = look(f"{address}/echo?token={SECRET}", headers=(("X-Key", "k3y-value"),), thorough=True)
    assert counter.requests[0][1]["authorization"] == "Basic YW5uYTpwYTU1d29yZA=="
    shown = json.dumps(examination.as_dict(), ensure_ascii=False)
    for secret in (SECRET, "k3y-value", "pa55word", "YW5uYTpwYTU1d29yZA", "anna"):
        assert secret not in shown
    assert "wrong *** *** token=***" in shown
    assert "\x1b" not in shown
    assert "\\u001b" not in shown
    assert all(verdict.saw.isprintable() for verdict in examination.verdicts)


def test_credentials_do_not_follow_a_redirect_to_somebody_else() -> None:
    """Another origin gets the request without the headers that were given for the first one."""
    other = Counter(app())
    with serving(app()) as url, serving(other) as elsewhere:
        address = url.replace("http://", "http://anna:pa55word@")
        examination = look(f"{address}/away?to={elsewhere}/raw", headers=(("X-Key", SECRET),))
    assert verdict(examination, "status").saw.startswith("200 after 1 redirect, at ")
    assert len(other.requests) == len(examination.requests) - 1
    assert all("x-key" not in headers and "authorization" not in headers for _, headers in other.requests)


def test_a_secret_in_a_redirect_is_masked_in_the_list_of_requests() -> None:
    """The server may put what it was given into the address that it sends us to."""
    counter = Counter(app())
    with serving(counter) as url:
        examination = look(f"{url}/personal", headers=(("X-Key", SECRET),))
    assert SECRET not in json.dumps(examination.as_dict())
    assert examination.requests[1].url == f"{url}/of/***"


def test_the_plan_has_what_the_urls_credentials_become() -> None:
    """They are sent as a header that the plan names, and masks."""
    counter = Counter(app())
    with serving(counter) as url:
        address = url.replace("http://", "http://anna:pa55word@")
        examination = look(f"{address}/raw")
    assert "authorization" in counter.requests[0][1]
    assert ("authorization", "***") in examination.plan[0].headers
    assert examination.plan == plan(Options(), f"{address}/raw")


def test_a_body_does_not_follow_a_redirect_to_somebody_else() -> None:
    """What was to be posted was for the URL's own origin; the verdict says that it stopped there."""
    other = Counter(app())
    with serving(app()) as url, serving(other) as elsewhere:
        examination = look(f"{url}/away?to={elsewhere}/post", method="POST", body=b"{}")
        at_home = look(f"{url}/away?to={url}/post", method="POST", body=b"{}")
    assert other.requests == []
    assert found(examination) == {("status", "fail", "not-an-event-stream")}
    assert "another origin" in verdict(examination, "status").saw
    assert verdict(at_home, "status").saw.startswith("200 after 1 redirect")


def test_credentials_follow_a_redirect_at_home() -> None:
    """The same origin gets them again."""
    counter = Counter(app())
    with serving(counter) as url:
        look(f"{url}/away?to={url}/raw", headers=(("X-Key", SECRET),))
    assert all(headers["x-key"] == SECRET for _, headers in counter.requests)


def test_a_redirect_that_would_change_the_method_is_not_followed() -> None:
    """A 302 makes a GET of a POST, and that is not what was to be examined."""
    counter = Counter(app())
    with serving(counter) as url:
        examination = look(f"{url}/guarded", method="POST", body=b"")
    assert found(examination) == {("status", "fail", "not-an-event-stream")}
    assert "makes a GET of a POST" in verdict(examination, "status").saw
    assert len(counter.requests) == 1


def test_progress_is_told_step_by_step() -> None:
    """Each step is told before it is made, and they are counted up to their number."""
    told: list[Progress] = []
    with serving(app()) as url:
        asyncio.run(examine(f"{url}/unbroken", Options(**FAST), progress=told.append))
    assert [progress.doing for progress in told] == ["read the stream", "ask for gzip", "come back with Last-Event-ID"]
    assert all(progress.step < progress.steps for progress in told)


def test_the_time_is_kept() -> None:
    """When the total is over, what is left is skipped, and says so."""
    with serving(app()) as url:
        examination = look(f"{url}/silent", watch=0.2, total_timeout=0.3, thorough=True, slow_pause=5.0)
    assert verdict(examination, "slow-reader").saw == "the time was up: 0.3 s"
    assert verdict(examination, "several").saw == "the time was up: 0.3 s"
    assert {verdict.check for verdict in examination.verdicts} == {check.name for check in CHECKS}


def test_the_bounds_of_events_and_bytes_are_kept() -> None:
    """A stream is left at either bound, however fast it is."""
    with serving(app()) as url:
        few = look(f"{url}/flooding", event_limit=3, watch=60.0)
        short = look(f"{url}/flooding", event_limit=100_000, byte_limit=20_000, watch=60.0)
    assert few.seconds < 30
    assert short.seconds < 30
    assert verdict(few, "end").saw.startswith("open for ")
    assert verdict(short, "end").saw.startswith("open for ")


def test_a_result_is_plain_values() -> None:
    """An examination is ready for JSON, with its worst outcome."""
    with serving(app()) as url:
        examination = look(f"{url}/raw")
    plain = json.loads(json.dumps(examination.as_dict()))
    assert (plain["worst"], plain["failed"]) == ("warn", False)
    assert plain["verdicts"][0] == examination.verdicts[0].as_dict()
    assert plain["requests"][0]["purpose"] == "reading"
