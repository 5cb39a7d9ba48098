"""Where the database is, and how it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from unbroken.errors import ConfigurationError

__all__ = ["COMMITS", "Commit", "Place", "Wake", "by_host", "settings_of", "shown"]

Wake = Literal["notify", "poll"]
Commit = Literal["on", "off", "local", "remote_write", "remote_apply"]

WAKES = ("notify", "poll")
COMMITS = ("on", "off", "local", "remote_write", "remote_apply")

SCHEMES = ("postgresql", "postgres")

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}", re.ASCII)
"""Leaves room in the name of the channel, which has 63 bytes."""

DRIVER_SETTINGS = {
    "host", "port", "user", "password", "passfile", "dbname", "database", "service", "servicefile", "options",
    "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib",
    "target_session_attrs", "application_name",
}  # fmt: skip
"""What else a URL may ask, as libpq has it; asyncpg would send anything to the server as a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database, the schema in it, and the settings. See `PostgresLog`."""

    dsn: str = field(repr=False)
    notify_dsn: str | None = field(default=None, repr=False)
    schema: str = "unbroken"
    wake: Wake = "notify"
    poll_interval: float = 0.25
    heartbeat_interval: float = 10.0
    heartbeat_timeout: float = 5.0
    timeout: float = 5.0
    synchronous_commit: Commit | None = None
    migrate: bool = True
    prepared_statements: bool = True

    def __post_init__(self) -> None:
        _check_dsn("url", self.dsn)
        if self.notify_dsn is not None:
            _check_dsn("notify_dsn", self.notify_dsn)
        if not _SCHEMA.fullmatch(self.schema) or self.schema.startswith("pg_"):
            raise ConfigurationError(
                f"schema={self.schema[:64]!r} cannot be one: give up to 48 of a-z, 0-9 and _, no digit and no pg_ first"
            )
        _check_one_of("wake", self.wake, WAKES)
        if self.synchronous_commit is not None:
            _check_one_of("synchronous_commit", self.synchronous_commit, COMMITS)
        for name in ("poll_interval", "heartbeat_interval", "heartbeat_timeout", "timeout"):
            _check_seconds(name, getattr(self, name))

    @property
    def namespace(self) -> str:
        """The schema as SQL names it: it may be a reserved word."""
        return f'"{self.schema}"'

    @property
    def channel(self) -> str:
        """The channel of its notifications."""
        return f"unbroken:{self.schema}"

    @property
    def notified(self) -> str | None:
        """The channel that appends are to notify, if any."""
        return self.channel if self.wake == "notify" else None

    def __str__(self) -> str:
        return f"PostgreSQL at {shown(self.dsn)}, schema {self.schema}"


def settings_of(url: str) -> tuple[dict[str, Any], str]:
    """Return the settings of ours in the query of a URL such as `postgresql://host/database?wake=poll`, and the rest.

    Raises:
        ConfigurationError: a value is of another kind than its setting.
    """
    parts = _split("url", url)
    ours, rest = dict[str, Any](), list[tuple[str, str]]()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _READERS:
            ours[name] = _READERS[name](name, value)
        else:
            rest.append((name, value))
    return ours, _joined(parts, parts.netloc, rest)


def by_host(dsn: str) -> list[str]:
    """Return a URL of several hosts as one for each."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    user, at, hosts = parts.netloc.rpartition("@")
    if hosts:
        return [_joined(parts, f"{user}{at}{host}", query.items()) for host in hosts.split(",")]
    names, ports = query.pop("host", "").split(","), query.pop("port", "").split(",")
    if len(names) == 1 or len(ports) not in (1, len(names)):
        return [dsn]
    ports *= len(names) // len(ports)
    each = ({"host": name} | ({"port": port} if port else {}) for name, port in zip(names, ports, strict=True))
    return [_joined(parts, parts.netloc, (query | one).items()) for one in each]


def _joined(parts: SplitResult, netloc: str, query: Iterable[tuple[str, str]]) -> str:
    """Put a URL together again; urlunsplit leaves out the // of one without a host."""
    written = urlencode(tuple(query))
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if written else ''}{written}"


def _split(name: str, url: str) -> SplitResult:
    """Take a URL apart, if it is one. No error says anything of it: any part may be one of a password's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    is_url = bool(parts.scheme) and url[len(parts.scheme) :].startswith("://") and "#" not in url
    queries = (item for item in parts.query.split("&") if not item.startswith("notify_dsn="))
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if (
        not is_url
        or parts.netloc.count("@") > 1
        or "@" in parts.path
        or any("@" in item for item in queries)
        or not all(map(_HOST.fullmatch, hosts))
    ):
        raise ConfigurationError(
            f"{name} is no URL such as postgresql://user:password@host:5432/database: percent-encode what is neither a "
            "letter nor a digit in user and password"
        )
    return parts


_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d+)?")


def shown(dsn: str) -> str:
    """Return a URL's hosts and database, without user and password."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    hosts = parts.netloc.rpartition("@")[2] or query.get("host", "") or "the default host"
    database = parts.path.lstrip("/") or query.get("dbname", query.get("database", ""))
    return f"{hosts}/{database}" if database else hosts


def _text(_: str, value: str) -> str:
    return value


def _seconds(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"{name}={value!r} is no time: give seconds") from None


def _yes_or_no(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise ConfigurationError(f"{name}={value!r} is neither true nor false")
    return value == "true"


_READERS = {
    "notify_dsn": _text,
    "schema": _text,
    "wake": _text,
    "poll_interval": _seconds,
    "heartbeat_interval": _seconds,
    "heartbeat_timeout": _seconds,
    "timeout": _seconds,
    "synchronous_commit": _text,
    "migrate": _yes_or_no,
    "prepared_statements": _yes_or_no,
}


def _check_dsn(name: str, dsn: str) -> None:
    parts = _split(name, dsn)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"{name} is no URL of PostgreSQL: it begins with {parts.scheme!r}, not postgresql://")
    unknown = sorted({key for key, _ in parse_qsl(parts.query, keep_blank_values=True)} - DRIVER_SETTINGS)
    if unknown:
        ours = ", ".join(_READERS)
        raise ConfigurationError(
            f"{name} has no setting {', '.join(unknown)} ({shown(dsn)}): there are {ours}, and those of libpq, such as "
            "sslmode, target_session_attrs and application_name"
        )


def _check_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(f"{name}={value!r} is not known: give one of {', '.join(known)}")


def _check_seconds(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.01 <= value <= 3600 or math.isnan(value):  # type: ignore[operator, arg-type]
        raise ConfigurationError(f"{name}={value!r} is no time: give seconds, from 0.01 to 3600")
