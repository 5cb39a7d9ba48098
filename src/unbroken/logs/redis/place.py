"""Which engine it is, how it is spoken to, and the settings of its URL."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from unbroken.errors import ConfigurationError, MissingExtraError
from unbroken.logs.opening import showing_no_password

try:
    from redis.asyncio.connection import Connection, SSLConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as exc:
    raise MissingExtraError("redis", "redis") from exc

__all__ = ["DEFAULTS", "Address", "Place", "place_of", "split_settings"]

Address = tuple[str, int]

DEFAULTS: Mapping[str, str | int | float] = {
    "prefix": "unbroken",
    "timeout": 5.0,
    "heartbeat_interval": 10.0,
    "heartbeat_timeout": 5.0,
    "replicas": 0,
    "sentinel_username": "",
    "sentinel_password": "",
}
"""The settings of a log, and what they are where the URL does not say."""

_SECURE = ("rediss", "valkeys")
_SCHEMES = ("redis", "rediss", "valkey", "valkeys")
_TLS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs",
        "ssl_check_hostname")  # fmt: skip
"""Settings of TLS that redis-py has, by its names."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds, and probes: the kernel gives a dead peer up in half a minute, also where nothing of ours waits for it."""

LONGEST = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An engine and its settings."""

    kind: str
    """`single`, `sentinel` or `cluster`."""
    addresses: tuple[Address, ...]
    """Of the server, of the Sentinels, or of some nodes."""
    master: str = ""
    db: int = 0
    secure: bool = False
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prefix: str = "unbroken"
    timeout: float = 5.0
    heartbeat_interval: float = 10.0
    heartbeat_timeout: float = 5.0
    replicas: int = 0
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        shown = ",".join(f"{host}:{port}" for host, port in self.addresses)
        return f"the master {self.master!r} of the Sentinels {shown}" if self.master else shown

    def connection(self, address: Address) -> Connection:
        """Return a connection to a node, not yet opened, that never repeats a command by itself."""
        return self._connection(address, db=self.db, **self.login)

    def sentinel(self, address: Address) -> Connection:
        """Return a connection to a Sentinel, not yet opened."""
        return self._connection(address, **self.sentinel_login)

    def _connection(self, address: Address, **login: Any) -> Connection:
        host, port = address
        kind = SSLConnection if self.secure else Connection
        return kind(
            host=host,
            port=port,
            protocol=2,  # with 3, publications come between the answers; and those who are subscribed may send anything
            socket_timeout=None,  # each wait here has a deadline of its own
            socket_connect_timeout=self.timeout,
            socket_keepalive=True,
            socket_keepalive_options=_keep_alive(),
            retry=Retry(NoBackoff(), 0),  # by default 8.x sends again what was not answered: an append would be two
            health_check_interval=0,
            **login,
            **self.tls,
        )


def _keep_alive() -> dict[int, int]:
    return {getattr(socket, name): value for name, value in KEEP_ALIVE.items() if hasattr(socket, name)}


def split_settings(url: str) -> tuple[str, dict[str, Any]]:
    """Take the log's own settings out of the query of a URL.

    Raises:
        ConfigurationError: one has a bad value.
    """
    with showing_no_password(url):
        parts = urlsplit(url)
        if url.partition(":")[2][:2] != "//":
            raise ConfigurationError("a URL of Redis has two slashes before its host: give redis://host:6379/0")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        settings = {name: _value(name, text) for name, text in pairs if name in DEFAULTS}
    rest = "&".join(part for part in parts.query.split("&") if part.split("=")[0] not in DEFAULTS)
    return parts._replace(query=rest).geturl(), settings


def place_of(url: str, settings: Mapping[str, Any]) -> Place:
    """Read a URL without the log's own settings, and check those.

    Raises:
        ConfigurationError: the URL or a setting is of no use; the text says which, and shows no password.
    """
    with showing_no_password(url):
        return _place(urlsplit(url), settings)


def _place(parts: SplitResult, settings: Mapping[str, Any]) -> Place:
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in _SCHEMES or kind not in ("", "sentinel", "cluster"):
        raise ConfigurationError(
            f"{parts.scheme}:// is no scheme of Redis: give redis://, rediss://, redis+sentinel://"
        )
    if parts.fragment:
        raise ConfigurationError("a URL of Redis ends with its settings: percent-encode a # as %23")
    login, addresses = _server(parts, 26379 if kind == "sentinel" else 6379)
    master, db = _path(parts, kind)
    _check(settings)
    own = {name: value for name, value in settings.items() if not name.startswith("sentinel_")}
    return Place(
        kind=kind or "single",
        addresses=addresses,
        master=master,
        db=db,
        secure=scheme in _SECURE,
        login=login,
        tls=_tls(parts, scheme in _SECURE),
        sentinel_login=_login(settings["sentinel_username"], settings["sentinel_password"]),
        **own,
    )


def _server(parts: SplitResult, port: int) -> tuple[dict[str, str], tuple[Address, ...]]:
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    addresses = tuple(_address(text, port) for text in hosts.split(",") if text)
    if "," in hosts and "+" not in parts.scheme:
        raise ConfigurationError(f"{parts.scheme}:// names one server, and {hosts} are several: for a cluster give "
                                 "redis+cluster://, for Sentinels redis+sentinel://")  # fmt: skip
    return _login(unquote(name), unquote(password)), addresses or (("localhost", port),)


def _login(username: str, password: str) -> dict[str, str]:
    login = {"username": username, "password": password}
    return {name: value for name, value in login.items() if value}


def _address(text: str, default: int) -> Address:
    try:
        split = urlsplit(f"//{text}")
        port = split.port or default
    except ValueError:
        raise ConfigurationError(f"{text} has no port that could be: give host:port, a port from 1 to 65535") from None
    return unquote(split.hostname or "localhost"), port


def _path(parts: SplitResult, kind: str) -> tuple[str, int]:
    """Return the name of a Sentinel's master, and the number of the database."""
    names = [unquote(name) for name in parts.path.split("/") if name]
    master = names.pop(0) if kind == "sentinel" and names else ""
    if kind == "sentinel" and not master:
        raise ConfigurationError(f"{parts.scheme}:// names no master: give …://host:26379/mymaster/0")
    text = names.pop(0) if names else "0"
    if names or not text.isascii() or not text.isdecimal():
        raise ConfigurationError(f"{parts.path!r} in a URL of Redis is no database: give its number, as in /0")
    if kind == "cluster" and int(text):
        raise ConfigurationError(f"a cluster has the database 0 alone, and the URL asks for {text}")
    return master, int(text)


def _tls(parts: SplitResult, secure: bool) -> dict[str, Any]:
    options = dict[str, Any](parse_qsl(parts.query, keep_blank_values=True))
    if unknown := [name for name in options if name not in _TLS]:
        known = ", ".join((*DEFAULTS, *_TLS))
        raise ConfigurationError(f"there is no setting {', '.join(unknown)} of a log in Redis: there are {known}")
    if options and not secure:
        raise ConfigurationError(f"{', '.join(options)} is of TLS, and {parts.scheme}:// has none: give rediss://")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in ("0", "no", "false", "off")
    return options


def _value(name: str, text: str) -> str | int | float:
    kind = type(DEFAULTS[name])
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "seconds"
        raise ConfigurationError(f"{name}={text!r} is of no use: give {what}") from None


def _check(settings: Mapping[str, Any]) -> None:
    for name in ("timeout", "heartbeat_interval", "heartbeat_timeout"):
        value = settings[name]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not 0.01 <= value <= LONGEST:
            raise ConfigurationError(f"{name}={value!r} is no time: give seconds, from 0.01 to {LONGEST:.0f}")
    replicas, prefix = settings["replicas"], settings["prefix"]
    if not isinstance(replicas, int) or isinstance(replicas, bool) or not 0 <= replicas <= 100:
        raise ConfigurationError(f"replicas={replicas!r} is no count: give a whole number, from 0 to 100")
    if not isinstance(prefix, str) or not prefix or not prefix.isprintable() or set(prefix) & set("{}"):
        raise ConfigurationError(f"prefix={prefix!r} cannot begin a key: give some text without braces")
