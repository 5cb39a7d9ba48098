"""Where to ask, and what of it must never be shown."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from unbroken.errors import ConfigurationError
from unbroken.observe.text import printable

__all__ = ["HARMLESS", "MASK", "Secrets", "Target", "parse_target"]

MASK: Final = "***"
PORTS: Final = {"http": 80, "https": 443}
HARMLESS: Final = frozenset({"accept", "accept-language", "cache-control", "content-type", "origin", "user-agent"})
"""Headers whose values are no secrets, and stand in every other response."""
PATH_SAFE: Final = "/%:@!$&'()*+,;=~-._"
"""What may stand in a path as it is; `%` because what is quoted stays so."""
LEAST_SECRET: Final = 3
"""Characters. What is shorter cannot be told from ordinary text, and masking it would spoil every line."""

_QUOTED = re.compile("%[0-9A-F]{2}")
_SECRET_NAME = re.compile("auth|code|cred|jwt|key|otp|pass|pin|pwd|secret|session|sid|sig|ticket|token", re.IGNORECASE)
# Up to three words, a small number: `orders`, `text/event-stream`, `8000`. What is random looks otherwise.
_PLAIN = re.compile(r"[A-Za-z]?[a-z]{0,7}([-_./][a-z]{1,8}){0,2}|\d{1,5}")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, without its credentials."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query, as it is sent."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are for."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL that is asked for."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def shown(self) -> str:
        """The URL with the values of its query masked: many carry a token."""
        path, mark, query = self.path.partition("?")
        names = (pair.partition("=") for pair in query.split("&"))
        masked = "&".join(f"{name}={MASK}" if equals else MASK for name, equals, _ in names if name or equals)
        return printable(f"{self.scheme}://{self.authority}{path}{mark}{masked}")

    def join(self, location: str) -> Target | None:
        """Return where a redirect leads, None if that is no URL of HTTP."""
        try:
            return parse_target(urljoin(self.url, location))[0]
        except (ConfigurationError, ValueError):
            return None


def parse_target(url: str) -> tuple[Target, str | None]:
    """Return the target, and the value of `Authorization` if the URL has credentials.

    Raises:
        ConfigurationError: It is no http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii").decode()
    except (ValueError, UnicodeError) as exc:
        # Not the URL itself: its credentials may stand in the very part that is wrong.
        raise ConfigurationError("the URL cannot be read: give one such as https://example.org/events") from exc
    if parts.scheme not in PORTS or not host or not host.isprintable() or " " in host:
        raise ConfigurationError(
            f"a URL of scheme {printable(parts.scheme, 20)!r} cannot be examined: "
            "give one such as https://example.org/events"
        )
    path = quote(parts.path or "/", safe=PATH_SAFE)
    query = f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._[]')}" if parts.query else ""
    target = Target(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path + query)
    return target, _authorization(parts.username, parts.password)


def _authorization(username: str | None, password: str | None) -> str | None:
    if username is None:
        return None
    pair = f"{unquote(username)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


class Secrets:
    """Masks what the user gave in headers and URL, wherever a server repeats it.

    Of the URL's query that is all but short plain words and small numbers: they
    stand in every other response, and no token is one.
    """

    __slots__ = ("_secrets",)

    def __init__(self, url: str, headers: Iterable[tuple[str, str]]) -> None:
        given = (value for name, value in headers if name.lower() not in HARMLESS)
        found = {piece for value in given for piece in _pieces(value)} | _of_url(url)
        forms = {form for secret in found for form in _forms(secret)}
        # The longest first: a secret may be a part of another one.
        self._secrets = sorted((form for form in forms if len(form) >= LEAST_SECRET), key=len, reverse=True)

    def shown(self, text: str | bytes, limit: int = 80, *, is_cut: bool = False) -> str:
        """Return what a server sent as a terminal can show it, without any secret."""
        plain = text if isinstance(text, str) else text.decode(errors="replace")
        return printable(self.masked(plain, is_cut=is_cut), limit)

    def masked(self, text: str, *, is_cut: bool = False) -> str:
        """Return the text without any secret; if it is the beginning of a longer one, without one it was cut in too."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        # Of a whole text this would take away what only begins alike.
        return self._without_half(text) if is_cut else text

    def _without_half(self, text: str) -> str:
        for secret in self._secrets:
            cut = next((end for end in range(len(secret) - 1, LEAST_SECRET - 1, -1) if text.endswith(secret[:end])), 0)
            text = text[: len(text) - cut] + MASK if cut else text
        return text


def _pieces(value: str) -> set[str]:
    """Return a header's value, and what it is made of: `Bearer token`, `name=cookie; …`."""
    words = value.replace(";", " ").replace(",", " ").split()
    return {value, *words[1:], *(word.partition("=")[2] for word in words)} if words else set()


def _is_plain(name: str, value: str) -> bool:
    """Whether a pair of the query has neither the name nor the look of a secret."""
    return not (value and _SECRET_NAME.search(name)) and _PLAIN.fullmatch(unquote(value or name)) is not None


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, and as URLs write it."""
    quoted = {quote(secret, safe=""), quote(secret, safe=PATH_SAFE)}
    return {secret, unquote(secret), *quoted, *(_QUOTED.sub(lambda byte: byte[0].lower(), form) for form in quoted)}


def _of_url(url: str) -> set[str]:
    parts = urlsplit(url)
    pairs = (pair.partition("=") for pair in parts.query.split("&"))
    values = {value or name for name, _, value in pairs if not _is_plain(name, value)}
    basic = _authorization(parts.username, parts.password)
    return values | {parts.username or "", parts.password or ""} | (_pieces(basic) if basic else set())
