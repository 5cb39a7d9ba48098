"""Where the database is, and how it is used."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from unbroken.errors import ConfigurationError

__all__ = ["COMMITS", "Commit", "Place", "Wake", "settings_of", "shown"]

Wake = Literal["notify", "poll"]
Commit = Literal["on", "off", "local", "remote_write", "remote_apply"]

WAKES = ("notify", "poll")
COMMITS = ("on", "off", "local", "remote_write", "remote_apply")

SCHEMES = ("postgresql", "postgres")

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}", re.ASCII)
"""Needs no quotes, and leaves room in the name of the channel, which has 63 bytes."""

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

    dsn: str
    notify_dsn: str | None = None
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
    parts = urlsplit(url)
    ours, rest = dict[str, Any](), list[tuple[str, str]]()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _READERS:
            ours[name] = _READERS[name](name, value)
        else:
            rest.append((name, value))
    return ours, parts._replace(query=urlencode(rest)).geturl()


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
    parts = urlsplit(dsn)
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
