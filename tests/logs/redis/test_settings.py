"""What a URL says, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unbroken.errors import ConfigurationError
from unbroken.logs import Log, open_log
from unbroken.logs.redis import RedisLog
from unbroken.logs.redis.place import DEFAULTS, Place, place_of, split_settings


def _place(url: str) -> Place:
    bare, settings = split_settings(url)
    return place_of(bare, {**DEFAULTS, **settings})


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "db", "secure"),
    [
        ("redis://", "single", (("localhost", 6379),), 0, False),
        ("valkey://host:1", "single", (("host", 1),), 0, False),
        ("rediss://user:p%40ss@host/3", "single", (("host", 6379),), 3, True),
        ("valkeys://[::1]:7", "single", (("::1", 7),), 0, True),
        ("redis+sentinel://a,b:2/main/5", "sentinel", (("a", 26379), ("b", 2)), 5, False),
        ("rediss+cluster://:secret@a:1,b", "cluster", (("a", 1), ("b", 6379)), 0, True),
    ],
)
def test_a_url_names_an_engine(
    url: str, kind: str, addresses: tuple[tuple[str, int], ...], db: int, secure: bool
) -> None:
    """Each scheme names its kind of engine, with one address or several."""
    place = _place(url)
    assert (place.kind, place.addresses, place.db, place.secure) == (kind, addresses, db, secure)


def test_the_login_is_read_and_never_shown() -> None:
    """User and password may have any characters, and stand in no text."""
    place = _place("redis+sentinel://us%3Aer:p%40ss@a/main?sentinel_password=other")
    assert (place.login, place.sentinel_login) == ({"username": "us:er", "password": "p@ss"}, {"password": "other"})
    assert not [word for word in ("p@ss", "p%40ss", "other") if word in repr(place) + str(place)]


def test_settings_are_read() -> None:
    """What stands in the query is what a keyword gives; TLS has redis-py's names."""
    place = _place("rediss://host?prefix=app&timeout=2&heartbeat_interval=1.5&replicas=2&ssl_check_hostname=no")
    assert (place.prefix, place.timeout, place.heartbeat_interval, place.replicas) == ("app", 2.0, 1.5, 2)
    assert place.tls == {"ssl_check_hostname": False}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:hidden@host?speed=9", "no setting speed"),
        ("redis://:hidden@host?timeout=soon", "timeout='soon'"),
        ("redis://:hidden@host?timeout=0", "from 0.01"),
        ("redis://:hidden@host?timeout=nan", "from 0.01"),
        ("redis://:hidden@host?replicas=many", "a whole number"),
        ("redis://:hidden@host?replicas=-1", "from 0 to 100"),
        ("redis://:hidden@host?prefix={1}", "without braces"),
        ("redis://:hidden@host?ssl_ca_certs=x.pem", "rediss://"),
        ("redis://:hidden@host:99999", "1 to 65535"),
        ("redis://:hidden@host/name", "no database"),
        ("redis://:hidden@a,b", "redis+cluster://"),
        ("redis+sentinel://:hidden@host", "names no master"),
        ("redis+cluster://:hidden@host/2", "database 0 alone"),
    ],
)
def test_what_cannot_be_is_named(url: str, said: str) -> None:
    """What is wrong in a URL is named with its value and what would do, and without the password."""
    with pytest.raises(ConfigurationError) as caught:
        open_log(url)
    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://someone:hid/den@host/0",
        "redis://someone:hid#den@host/0",
        "redis://someone:hid?den@host/0",
        "redis://someone:1/den@host/0",
        "redis://someone:1#den@host/0",
        "redis://someone:1?den@host/0",
        "redis://someone:1?timeout=den@host/0",
        "redis://someone:hid[den@host/0",
        "redis+cluster://:hid]den@a,[b",
        "redis+cluster://:hidden@a],[b",
        "redis:someone:hidden@host",
        "redis:hidden",
    ],
)
@pytest.mark.parametrize("of", [open_log, RedisLog])
def test_no_part_of_a_password_is_shown(url: str, of: Callable[[str], Log]) -> None:
    """A password that is not percent-encoded may be read as a port, a path or a setting: none of these is shown."""
    with pytest.raises(ConfigurationError) as caught:
        of(url)
    assert not [part for part in ("hid", "den", "someone") if part in str(caught.value)]


@pytest.mark.parametrize("url", ["redis://host#0", "redis://host?replicas=1#0"])
def test_nothing_is_passed_over(url: str) -> None:
    """What stands behind a `#` is refused: it may be most of a password."""
    with pytest.raises(ConfigurationError, match="percent-encode a # as %23"):
        open_log(url)


def test_keywords_are_checked() -> None:
    """A keyword is checked as the query is; what the query says holds."""
    assert RedisLog("redis://host?timeout=2", timeout=-1).guarantees.shared
    with pytest.raises(ConfigurationError, match="timeout=-1"):
        RedisLog("redis://host", timeout=-1)
