"""What a request asks to be published, all but the body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from unbroken.errors import ConfigurationError
from unbroken.hub.bridge.problem import Problem
from unbroken.hub.names import check_topic
from unbroken.hub.publishing import check_key

__all__ = ["Publication", "publication_of"]

_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_MOST_FIELDS = 8
# RFC 9651 3.3.3: a String is printable ASCII between quotes, in which only the quote and the backslash are escaped.
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Publication:
    """Where to, and how."""

    topic: str
    event: str | None
    key: str | None
    close: bool


def publication_of(topic: str, query: bytes, headers: Headers) -> Publication:
    """Read a request.

    Raises:
        Problem: something of it cannot be: 400.
    """
    fields = _fields(query)
    key = _key(headers.getlist("idempotency-key"))
    try:
        check_topic(topic)
        check_key(key)
    except ConfigurationError as error:
        raise Problem(400, str(error)) from None
    if "\ufffd" in topic:
        # Servers decode the path with replacements: two names that are no UTF-8 would become one topic.
        raise Problem(400, "the topic in the path is not UTF-8: encode it as UTF-8, then as %XX")
    return Publication(topic, fields.get("event"), key, _flag(fields.get("close", "false")))


def _fields(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query.decode("ascii"), True, True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Problem(400, f"the query cannot be read ({error}): encode it as UTF-8, then as %XX") from None
    fields = dict(pairs)
    # A field that is written wrongly, and passed over, would publish something else than was meant.
    unknown = sorted(fields.keys() - {"event", "close"})
    if unknown:
        raise Problem(400, f"the query has {unknown[0][:40]!r}: it can have event= and close=true")
    if len(fields) < len(pairs):
        raise Problem(400, "the query has a field twice")
    return fields


def _flag(text: str) -> bool:
    if text not in _FLAGS:
        raise Problem(400, f"close={text[:40]!r} is neither true nor false")
    return _FLAGS[text]


def _key(given: list[str]) -> str | None:
    if not given:
        return None
    if len(given) > 1:
        raise Problem(400, "Idempotency-Key is there twice")
    text = given[0].strip()
    # The IETF's draft has it quoted; most clients send it bare. Both are the same key.
    quoted = _STRING.fullmatch(text)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if text.startswith('"') or not _BARE.fullmatch(text):
        raise Problem(400, 'Idempotency-Key is none: give printable ASCII, as "abc" or without the quotes')
    return text
