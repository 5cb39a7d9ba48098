"""All that is known of httpx2, and of httpx, which has the same shape: requests, timeouts and errors.

Neither is imported before a client is made. Errors of the library are translated here, once.
"""

from __future__ import annotations

import importlib
import logging
import string
import sys
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from unbroken.client.answer import Answer
from unbroken.errors import (
    ConfigurationError,
    ConnectFailed,
    EventSourceError,
    MissingExtraError,
    StreamStalled,
    StreamTruncated,
    UnbrokenError,
    UnexpectedResponse,
)

__all__ = ["HTTP", "OutgoingRequest", "check_port", "stalled", "unanswered", "without_secrets"]

logger = logging.getLogger("unbroken.client")

_LIBRARIES = ("httpx2", "httpx")

# A header's field value (RFC 9110, 5.5), as bytes: what else there is, a server or h11 refuses.
_FIELD_VALUE = frozenset([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
# A header's name, and a method (RFC 9110, 5.6.2).
_TOKEN = frozenset("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits)


@dataclass(slots=True)
class OutgoingRequest:
    """What is about to be sent, for `prepare` to change: made anew for each connection."""

    method: str
    url: str
    last_event_id: str
    """The place to go on from, `""` for none. It is sent as `Last-Event-ID`, unless it is set to `""` here."""
    params: dict[str, Any]
    """Added to the query of the URL."""
    headers: dict[str, str]
    content: Any = None
    """The body, as httpx2 takes it: one that can be sent again, so no iterator."""
    data: Any = None
    """A form."""
    json: Any = None
    """The body as JSON."""
    attempt: int = 1
    """1 for the first connection, and one more for each that follows."""


class HTTP:
    """One of the two libraries, and a client of it."""

    def __init__(self, client: Any | None, auth: Any | None, *, is_async: bool) -> None:
        self._name = "AsyncClient" if is_async else "Client"
        self.is_own = client is None
        self._library = _imported("httpx2") if client is None else _library_of(client, self._name)
        self.client = self._new() if client is None else client
        # Without one the client's own holds; None would turn it off.
        given = {} if auth is None else {"auth": auth}
        self.sending = {"stream": True, "follow_redirects": True, **given}
        """The arguments with which a request is sent."""

    def _new(self) -> Any:
        # Each request has time limits of its own.
        return getattr(self._library, self._name)(timeout=None, verify=_ssl_context())

    def build(self, parts: OutgoingRequest, *, connect_timeout: float, read_timeout: float | None) -> Any:
        """Return the library's request.

        Raises:
            ConfigurationError: it cannot be sent: the URL is none, or a header is not one line.
        """
        library = self._library
        _check(parts)
        try:
            return self.client.build_request(
                parts.method,
                library.URL(parts.url).copy_merge_params(parts.params) if parts.params else parts.url,
                headers=self._headers(parts),
                content=parts.content,
                data=parts.data,
                json=parts.json,
                timeout=library.Timeout(connect_timeout, read=read_timeout),
            )
        except (library.InvalidURL, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the request for {without_secrets(parts.url)!r} cannot be made: {error}"
            ) from error

    def _headers(self, parts: OutgoingRequest) -> Any:
        headers = self._library.Headers(
            # identity: who compresses an event stream holds its events back until there is enough to compress.
            {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}
        )
        headers.update(parts.headers)
        if not parts.last_event_id:
            return headers
        headers.pop("Last-Event-ID", None)  # ours goes on from there
        return self._library.Headers([*headers.raw, *_last_event_id(parts)])

    def set_read_timeout(self, response: Any, seconds: float | None) -> None:
        """Set the seconds that each read of this response's body may take, before the first of them.

        The transports look into the request for it when the body is begun. One that has looked
        before keeps the time of the request.
        """
        timeouts = response.request.extensions.get("timeout")
        if isinstance(timeouts, dict):
            timeouts["read"] = seconds

    def answer(self, response: Any) -> Answer:
        """Return status and headers."""
        return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()})

    def connecting_failed(
        self, error: Exception, url: str, connect_timeout: float, answer_timeout: float | None
    ) -> UnbrokenError | None:
        """Return what an error means that came before the answer; None if it is none of the library's."""
        library = self._library
        if isinstance(error, library.ReadTimeout):
            return unanswered(url, answer_timeout)
        if isinstance(error, library.ConnectTimeout | library.PoolTimeout):
            return ConnectFailed(f"{url}: no connection within {connect_timeout:g} s ({type(error).__name__})")
        if isinstance(error, library.TooManyRedirects):
            return UnexpectedResponse(f"{url} redirects without end: {error}", status=302, headers={})
        if isinstance(error, library.UnsupportedProtocol):
            return ConfigurationError(f"{url!r} cannot be requested: {error}")
        if isinstance(error, library.TransportError):
            sent = not isinstance(error, library.ConnectError | library.ProxyError)
            return ConnectFailed(f"{url}: {_text(error)}{_redirected(error, url)}", sent=sent)
        return None

    def reading_failed(self, error: Exception, url: str, seconds: float | None) -> EventSourceError | None:
        """Return what an error means that came with the body; None if it is none of the library's."""
        library = self._library
        if isinstance(error, library.ReadTimeout):
            return stalled(url, seconds)
        if isinstance(error, library.TransportError | library.DecodingError):
            return StreamTruncated(f"{url}: {_text(error)}")
        return None


def without_secrets(url: str) -> str:
    """Return a URL for messages: without user and password, and without the query, where tokens are."""
    scheme, separator, rest = url.partition("?")[0].partition("#")[0].rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


def check_port(url: str) -> None:
    """Refuse a port that is none, which the libraries take: it would fail in the depth of the first attempt.

    Raises:
        ConfigurationError: the URL's port is no number from 0 to 65535.
    """
    try:
        _ = urlsplit(url).port
    except ValueError:
        # Without a word of the URL: a password that is not quoted looks like a port.
        raise ConfigurationError(
            "url has no port from 0 to 65535 behind its host; quote '/', '?', '#' and '@' in a password "
            "(urllib.parse.quote)"
        ) from None


def unanswered(url: str, seconds: float | None) -> ConnectFailed:
    """Return the error for a server that does not answer."""
    return ConnectFailed(f"{url}: no answer within {seconds or 0:g} s (idle_timeout)", sent=True)


def stalled(url: str, seconds: float | None) -> StreamStalled:
    """Return the error for a silence."""
    return StreamStalled(
        f"{url}: not a byte within {seconds or 0:g} s (idle_timeout): the connection is taken for dead"
    )


def _check(parts: OutgoingRequest) -> None:
    """Refuse what cannot be sent, by its name only: a value may be a secret, read together with the end of its line."""
    for what, name in (("method", parts.method), *(("header", name) for name in parts.headers)):
        if not isinstance(name, str) or not _TOKEN.issuperset(name) or not name:
            raise ConfigurationError(f"{what} {name!r} is no name that HTTP has: letters, digits and hyphens")
    for name, value in parts.headers.items():
        if not isinstance(value, str) or not value.isascii() or not _FIELD_VALUE.issuperset(value.encode()):
            raise ConfigurationError(
                f"the value of header {name!r} cannot be sent: give one line of ASCII text, without its end "
                "(value.strip())"
            )


def _redirected(error: Any, url: str) -> str:
    try:
        asked = without_secrets(str(error.request.url))
    except RuntimeError:  # there is none
        return ""
    return "" if asked == url or "://" not in url else f", redirected to {asked}"


def _text(error: Exception) -> str:
    return f"{_reason(error) or str(error) or 'the connection broke'} ({type(error).__name__})"


def _reason(error: BaseException | None) -> str:
    """Return what the system said, "" if it said nothing: the library's own text may be empty, or less."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        error = (group[0] if group else None) or error.__cause__ or error.__context__
    return ""


@lru_cache(maxsize=1)
def _ssl_context() -> Any:
    # Reading the certificates takes tens of milliseconds, in which an event loop would stand still each time.
    return importlib.import_module("httpx2").create_ssl_context()


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(name, "client") from error


def _library_of(client: object, wanted: str) -> Any:
    for name in _LIBRARIES:
        library: Any = sys.modules.get(name)
        if library is not None and isinstance(client, getattr(library, wanted)):
            return library
    raise ConfigurationError(
        f"client={client!r} is none that this reads with: give an httpx2.{wanted} or an httpx.{wanted}"
    )


def _last_event_id(parts: OutgoingRequest) -> list[tuple[bytes, bytes]]:
    value = parts.last_event_id.encode(errors="replace").strip(b" \t")
    if _FIELD_VALUE.issuperset(value):
        return [(b"Last-Event-ID", value)]
    logger.warning(
        "%s: the last event ID %r holds what no header can hold, so the server is asked without it and may repeat or "
        "leave out events; ids should be printable",
        without_secrets(parts.url),
        parts.last_event_id,
    )
    return []
