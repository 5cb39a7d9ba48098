"""From a URL to the log it names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from urllib.parse import urlsplit

from unbroken.errors import ConfigurationError
from unbroken.logs.contract import Log

__all__ = ["SCHEMES", "open_log"]

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


def open_log(url: str) -> Log:
    """Return the log that `url` names, not yet started.

    `memory://` keeps topics in this process. `sqlite:///events.db` keeps them in a file, relative to
    the working directory; an absolute path has four slashes, `sqlite:////var/lib/app/events.db`.

    Raises:
        ConfigurationError: no such scheme, or a URL that its log cannot read.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError(f"{_shown(url)!r} names no log: give a URL that begins with one of {known}")
    from_url: Callable[[str], Log] = import_module(SCHEMES[scheme]).from_url
    return from_url(url)


def _shown(url: str) -> str:
    """Return the beginning of a URL, without what may be a password."""
    return url[:80] if "@" not in url else f"{urlsplit(url).scheme}://…"
