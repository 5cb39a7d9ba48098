"""Who may publish, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from hmac import compare_digest
from math import ceil

from unbroken.errors import ConfigurationError
from unbroken.hub.bridge.bucket import Bucket
from unbroken.hub.bridge.problem import Problem

__all__ = ["Holder", "Tokens", "TokensGiven"]

TokensGiven = str | Sequence[str] | Mapping[str, str | Sequence[str]]

LEAST_CHARS = 16
"""Of a token: nothing slows down who guesses, so that guessing must be hopeless."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 2.1: b64token, what can follow "Bearer "


class Holder:
    """Whoever has one of the tokens."""

    def __init__(self, patterns: tuple[str, ...], bucket: Bucket | None) -> None:
        self._patterns = patterns
        self._bucket = bucket
        self.held = 0
        """Requests that are under way."""

    def pay(self) -> None:
        """Count a request.

        Raises:
            Problem: there were too many: 429.
        """
        wait = 0.0 if self._bucket is None else self._bucket.take()
        if wait:
            raise Problem(429, "this token's rate is used up", {"retry-after": str(ceil(wait))})

    def may_publish(self, topic: str) -> bool:
        """Whether the token is good for this topic."""
        return any(fnmatchcase(topic, pattern) for pattern in self._patterns)


class Tokens:
    """The tokens that hold; several at once, so that one can be replaced while both work.

    Raises:
        ConfigurationError: there is none, or one that can be guessed or not be sent, or a pattern that is no text.
    """

    def __init__(self, given: TokensGiven, topics: str | Sequence[str], rate: float | None, burst: int) -> None:
        patterns = given if isinstance(given, Mapping) else dict.fromkeys(_texts("tokens", given), topics)
        if not patterns:
            raise ConfigurationError("tokens= has none: a place to publish at that is open to all is not made")
        self._holders = {
            _digest(_checked(token)): Holder(_texts("topics", some), Bucket.of(rate, burst))
            for token, some in patterns.items()
        }

    def identify(self, authorization: str) -> Holder:
        """Return whose token the header `Authorization` has.

        Raises:
            Problem: nobody's: 401.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem(401, "send 'Authorization: Bearer <token>'", {"www-authenticate": 'Bearer realm="publish"'})
        digest, found = _digest(token.strip()), None
        # All of them, found or not, and digests: the time that it takes tells nothing of a token.
        for known, holder in self._holders.items():
            if compare_digest(known, digest):
                found = holder
        if found is None:
            challenge = 'Bearer realm="publish", error="invalid_token"'
            raise Problem(401, "this token is not known", {"www-authenticate": challenge})
        return found


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _checked(token: object) -> str:
    # The text never shows a token: it may be logged.
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            "tokens= has one that cannot be sent as 'Bearer …': make it with secrets.token_urlsafe(32)"
        )
    if len(token) < LEAST_CHARS:
        raise ConfigurationError(
            f"tokens= has one of {len(token)} characters, which can be guessed: give {LEAST_CHARS} or more, such as "
            "secrets.token_urlsafe(32)"
        )
    return token


def _texts(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(text, str) and text for text in texts):
        shown = "" if name == "tokens" else f" {texts!r}"
        raise ConfigurationError(f"{name}= has{shown} what is no text: give a str, or several that are not empty")
    return texts
