"""URLs, secrets, options."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from unbroken.diagnose import find_cause
from unbroken.diagnose.endpoint import CHECKS, Options, examine, plan
from unbroken.diagnose.endpoint.flaws import FLAWS
from unbroken.diagnose.endpoint.target import Secrets, parse_target
from unbroken.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "authority", "path", "shown"),
    [
        ("http://example.org", "example.org", "/", "http://example.org/"),
        ("https://example.org:443/a", "example.org", "/a", "https://example.org/a"),
        ("http://example.org:81/a?b=c&d", "example.org:81", "/a?b=c&d", "http://example.org:81/a?b=***&***"),
        ("http://u:p@[::1]:8000/#x", "[::1]:8000", "/", "http://[::1]:8000/"),
        (
            "https://b\u00fccher.example/\u00fc",
            "xn--bcher-kva.example",
            "/%C3%BC",
            "https://xn--bcher-kva.example/%C3%BC",
        ),
        ("http://example.org/a b%20c", "example.org", "/a%20b%20c", "http://example.org/a%20b%20c"),
    ],
)
def test_a_url_is_taken_apart(url: str, authority: str, path: str, shown: str) -> None:
    """What is sent is whole, and what is shown has no password and no value of the query."""
    target, _ = parse_target(url)
    assert (target.authority, target.path, target.shown) == (authority, path, shown)


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org/", "http://", "http://user:hunter2@ho st:99999/", "http://[::1/"]
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    """The error may be logged, and a password may stand in any part of what cannot be read."""
    with pytest.raises(ConfigurationError) as caught:
        parse_target(url)
    assert "hunter2" not in str(caught.value)


def test_the_urls_credentials_become_basic_authentication() -> None:
    """They may be quoted, as a URL needs it."""
    assert parse_target("http://anna:p%40ss@example.org/")[1] == "Basic YW5uYTpwQHNz"
    assert parse_target("http://example.org/")[1] is None


def test_a_redirect_leads_on_from_where_it_was_said() -> None:
    """Relative, absolute, and to what is no HTTP."""
    target = parse_target("http://example.org/a/b?c")[0]
    assert [
        hop.url if (hop := target.join(where)) else None for where in ("x", "/x", "https://e.org/y", "mailto:x")
    ] == [
        "http://example.org/a/x",
        "http://example.org/x",
        "https://e.org/y",
        None,
    ]


def test_secrets_are_masked_whole_and_cut() -> None:
    """In each of their forms, and where the text ends within one."""
    secrets = Secrets(
        "http://u:p%40ssword@e.org/?key=abc%2Fdef", [("Authorization", "Bearer t0ken-t0ken"), ("Cookie", "sid=c00kie")]
    )
    text = "p%40ssword p@ssword abc%2Fdef abc/def Bearer t0ken-t0ken c00kie t0ken-t"
    assert secrets.masked(text, is_cut=True) == "*** *** *** *** *** *** ***"


def test_a_secret_is_masked_however_a_url_writes_it() -> None:
    """With its slashes as they are or quoted, and with the quotes in small letters too."""
    secrets = Secrets("http://e.org/", [("X-Key", "a/b c|d")])
    for written in ("a/b c|d", "a/b%20c%7Cd", "a%2Fb%20c%7Cd", "a%2fb%20c%7cd"):
        assert secrets.masked(f"/x/{written}/y") == "/x/***/y"


@pytest.mark.parametrize("topic", ["stream-42", "stream42stream42", "strange-t0ken"])
def test_a_text_that_was_not_cut_does_not_end_within_a_secret(topic: str) -> None:
    """A media type may end as a secret begins; an excerpt that was cut there is masked."""
    secrets = Secrets(f"http://e.org/?topic={topic}", [])
    assert secrets.shown("text/event-stream") == "text/event-stream"
    assert secrets.shown(f"data: {topic[:6]}", is_cut=True) == "data: ***"


@pytest.mark.parametrize(
    "query", ["topic=event", "a=text/event-stream", "v=200", "port=8000", "on&x=1&gzip", "q=Ticks"]
)
def test_plain_words_of_a_query_are_no_secrets(query: str) -> None:
    """What the verdicts consist of stays readable."""
    fact = "200 text/event-stream, 8000 Ticks on gzip"
    assert Secrets(f"http://e.org/?{query}", []).shown(fact) == fact


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("token=event", "event"),
        ("api_key=123", "123"),
        ("PASSWORD=stream", "stream"),
        ("s=Ab3", "Ab3"),
        ("s=847291", "847291"),
        ("s=qwzkfjvbnm", "qwzkfjvbnm"),
        ("s=xKqPzRw", "xKqPzRw"),
        ("e30kZXk", "e30kZXk"),
        ("u=correct-horse-battery-staple", "correct-horse-battery-staple"),
    ],
)
def test_what_could_be_a_token_is_masked(query: str, value: str) -> None:
    """Whatever has the name of a secret, and whatever is no short plain word."""
    assert Secrets(f"http://e.org/?{query}", []).shown(f"id: {value}!") == "id: ***!"


def test_what_is_no_secret_is_shown() -> None:
    """A media type in Accept does not hide the one of the response."""
    secrets = Secrets("http://e.org/", [("Accept", "text/event-stream")])
    assert secrets.shown("text/event-stream") == "text/event-stream"
    assert secrets.shown("a\x1b[31mb\u2028") == "a\\x1b[31mb\\u2028"


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 21},
        {"connections": 0},
        {"event_limit": 0},
        {"byte_limit": 10},
        {"silence": 3601.0},
        {"watch": 0.0},
        {"total_timeout": -1.0},
        {"probe_timeout": float("nan")},
        {"method": "GET /"},
        {"headers": (("X\r\nY", "secret-v"),)},
        {"headers": (("X-Y", "secret-v\r\nz"),)},
        {"headers": (("Host", "secret-v"),)},
        {"headers": (("Last-Event-ID", "secret-v"),)},
        {"headers": (("TE", "secret-v"),)},
        {"headers": (("Upgrade", "secret-v"),)},
        {"headers": (("Keep-Alive", "secret-v"),)},
        {"headers": (("Proxy-Connection", "secret-v"),)},
        {"headers": (("X-Y", "secret-v "),)},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """The error names the option, and never a header's value."""
    with pytest.raises(ConfigurationError) as caught:
        Options(**wrong)
    assert "secret-v" not in str(caught.value)


def test_the_times_grow_with_what_is_asked() -> None:
    """Nothing is cut short by the total because more was asked for."""
    assert Options().total_seconds == 20.0
    assert Options(thorough=True).watch_seconds == 25.0
    assert Options(silence=300.0).total_seconds == 320.0
    assert Options(total_timeout=3.0).total_seconds == 3.0


def test_a_plan_is_polite() -> None:
    """A quick look is a few requests, a thorough one a few more; only redirects come on top."""
    assert sum(planned.at_most for planned in plan()) - 5 == 4
    assert sum(planned.at_most for planned in plan(Options(thorough=True))) - 5 == 14


def test_a_plan_has_the_credentials_of_the_url() -> None:
    """They are sent as a header, and so the plan names it, masked; a header that is given comes before them."""
    [bare, *_], [named, *_] = plan(), plan(url="http://anna:pa55word@example.org/")
    assert set(named.headers) - set(bare.headers) == {("authorization", "***")}
    given = plan(Options(headers=(("Authorization", "Bearer x"),)), "http://anna:pa55word@example.org/")
    assert [name for name, _ in given[0].headers].count("authorization") == 1


def test_a_file_of_certificates_has_to_be_one(tmp_path: Path) -> None:
    """That is the user's mistake, and no verdict on the endpoint."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    for verify in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="no file of certificates"):
            asyncio.run(examine("https://127.0.0.1:1/", Options(verify=verify)))


def test_the_checks_are_data() -> None:
    """Each has a name of its own, a summary, and the causes of the catalogue that it points to."""
    for cause in {cause for check in CHECKS for cause in check.causes} | {info.cause for info in FLAWS.values()}:
        assert find_cause(cause).id == cause
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.summary.endswith(".") and check.causes for check in CHECKS)
