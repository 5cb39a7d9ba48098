"""Where the servers are, which stream is ours, and what errors mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs.opening import showing_no_password

__all__ = ["Place", "place_of", "settings_of"]

PORT = 4222
STORAGES = ("file", "memory")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A stream's name, and each token of a prefix: NATS allows more, tools and file systems do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The servers, and the settings of a `NATSLog`.

    Raises:
        ConfigurationError: a setting is out of its range.
    """

    servers: tuple[str, ...]
    """URLs of one server each, with user and password."""
    stream: str = "UNBROKEN"
    prefix: str = "unbroken"
    replicas: int = 1
    storage: str = "file"
    timeout: float = 5.0
    heartbeat_interval: float = 10.0
    heartbeat_timeout: float = 5.0
    creds: str | None = None
    ca: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.stream):
            raise ConfigurationError(f"stream={self.stream!r} names no stream: give letters, digits, - and _, up to 64")
        if not all(_NAME.fullmatch(token) for token in self.prefix.split(".")):
            raise ConfigurationError(f"prefix={self.prefix!r} begins no subject: give words with dots between them")
        if self.replicas not in (1, 2, 3, 4, 5) or isinstance(self.replicas, bool):
            raise ConfigurationError(f"replicas={self.replicas!r} cannot be: give 1 to 5, best 1 or 3")
        if self.storage not in STORAGES:
            raise ConfigurationError(f"storage={self.storage!r} is neither {' nor '.join(STORAGES)}")
        for name in ("timeout", "heartbeat_interval", "heartbeat_timeout"):
            _check_seconds(name, getattr(self, name))
        for name in ("creds", "ca"):
            if (path := getattr(self, name)) is not None and not Path(path).is_file():
                raise ConfigurationError(f"{name}={path!r} is no file")

    @property
    def shown(self) -> str:
        """The servers, for people: without user and password."""
        return ", ".join(urlsplit(server).netloc.rpartition("@")[2] for server in self.servers)

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is asked for."""
        return self.ca is not None or any(server.startswith("tls:") for server in self.servers)

    def unavailable(self, what: str) -> LogUnavailable:
        """Return the error for people."""
        return LogUnavailable(f"NATS at {self.shown}: {what}")


def settings_of(url: str) -> dict[str, Any]:
    """Read the settings out of the query of a URL such as `nats://host:4222?stream=EVENTS&replicas=3`.

    Raises:
        ConfigurationError: there is no such setting, or its value is none.
    """
    kinds = {field.name: field.type for field in fields(Place) if field.name != "servers"}
    settings = dict[str, Any]()
    with showing_no_password(url):
        for name, text in parse_qsl(urlsplit(url).query, keep_blank_values=True):
            if name not in kinds:
                raise ConfigurationError(f"the URL of NATS has no setting {name}: there are {', '.join(kinds)}")
            settings[name] = _read(name, text, str(kinds[name]))
    return settings


def place_of(url: str, settings: dict[str, Any]) -> Place:
    """Read the servers out of a URL such as `nats://user:password@one:4222,two:4222`; its query is left aside.

    Raises:
        ConfigurationError: it names no server, or a setting is out of its range.
    """
    with showing_no_password(url):
        return _place(urlsplit(url), settings)


def _place(parts: SplitResult, settings: dict[str, Any]) -> Place:
    user, _, hosts = parts.netloc.rpartition("@")
    if parts.scheme not in ("nats", "tls") or not hosts or parts.path not in ("", "/") or parts.fragment:
        raise ConfigurationError("the URL names no server of NATS: give nats://host:4222, or nats://one:4222,two:4222")
    servers = tuple(_server(parts.scheme, user, host) for host in hosts.split(","))
    return Place(servers=servers, **settings)


def _server(scheme: str, user: str, host: str) -> str:
    try:
        parts = urlsplit(f"{scheme}://{host}")
        name, port = parts.hostname, parts.port or PORT
    except ValueError:
        name, port = None, 0
    if not name or "%" in unquote(name):
        raise ConfigurationError(f"{host!r} is no server of NATS: give host, or host:4222")
    shown = f"[{name}]" if ":" in name else name
    return f"{scheme}://{user + '@' if user else ''}{shown}:{port}"


def _read(name: str, text: str, kind: str) -> Any:
    if kind.startswith("str"):
        return text
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        raise ConfigurationError(f"{name}={text} is no number") from None


def _check_seconds(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.05 <= value <= 600:  # type: ignore[operator]
        raise ConfigurationError(f"{name}={value!r} is no time: give seconds, from 0.05 to 600")
