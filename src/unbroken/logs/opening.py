"""From a URL to the log it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from urllib.parse import urlsplit

from unbroken.errors import ConfigurationError
from unbroken.logs.contract import Log

__all__ = ["SCHEMES", "open_log", "showing_no_password"]

SCHEMES = {
    "memory": "unbroken.logs.memory",
    "sqlite": "unbroken.logs.sqlite",
    "redis": "unbroken.logs.redis",
    "rediss": "unbroken.logs.redis",
    "redis+sentinel": "unbroken.logs.redis",
    "rediss+sentinel": "unbroken.logs.redis",
    "redis+cluster": "unbroken.logs.redis",
    "rediss+cluster": "unbroken.logs.redis",
    "valkey": "unbroken.logs.redis",
    "valkeys": "unbroken.logs.redis",
    "postgresql": "unbroken.logs.postgres",
    "postgres": "unbroken.logs.postgres",
    "nats": "unbroken.logs.nats",
    "tls": "unbroken.logs.nats",
}
"""The module of each kind; it has `from_url`. Imported when it is asked for: each has its own driver."""

_LOCAL = ("memory", "sqlite")
_AUTHORITY = re.compile(r"[^:/?#]+://[^/?#]*")  # RFC 3986 3.2: it ends at the first of these


def open_log(url: str) -> Log:
    """Return the log that `url` names, not yet started.

    `memory://` keeps topics in this process. `sqlite:///events.db` keeps them in a file, relative to
    the working directory; an absolute path has four slashes, `sqlite:////var/lib/app/events.db`.

    Raises:
        ConfigurationError: no such scheme, or a URL that its log cannot read.
    """
    scheme = url.partition(":")[0].strip().lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError(f"{_shown(url)!r} names no log: give a URL that begins with one of {known}")
    from_url: Callable[[str], Log] = import_module(SCHEMES[scheme]).from_url
    try:
        if scheme in _LOCAL and "@" in urlsplit(url).netloc:
            raise ConfigurationError(f"{scheme}:// has no user, no password and no host: leave them out")
        return from_url(url)
    except ConfigurationError:
        raise
    except ValueError:
        # What urllib or a driver says of it may have any part of it.
        raise _unreadable(url) from None


@contextmanager
def showing_no_password(url: str) -> Iterator[None]:
    """Read the URL of a server in this block: no error of it shows a part of a password.

    A password with a `/`, `?` or `#` that is not percent-encoded ends the authority in its midst: what is then taken
    for a port, a path or a setting is the password's.

    Raises:
        ConfigurationError: what the block raises for a bad value; without its text where that may be a password's.
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error, ConfigurationError) and not _may_be_torn(url):
            raise
        raise _unreadable(url) from None


def _may_be_torn(url: str) -> bool:
    authority = _AUTHORITY.match(url)
    return "@" in url[authority.end() if authority else 0 :]


def _unreadable(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_shown(url)!r} cannot be read: percent-encode what is special in its user, its password and its settings, "
        "such as %2F for /, %3F for ?, %23 for #, %5B for [ and %40 for @"
    )


def _shown(url: str) -> str:
    """Return the beginning of a URL, without what may be a password."""
    scheme, found, _ = url.partition("://")
    if found and scheme.replace("+", "").isalnum():
        return f"{scheme[:20]}://…"
    return "…" if "@" in url else url[:80]
