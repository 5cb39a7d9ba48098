"""A request's body: all of it, no more than is allowed, and no later."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Receive

from unbroken.hub.bridge.problem import Problem

__all__ = ["ClientGone", "check_head", "read_text"]

PASSED_OVER = 4
"""Times the bound that is read of a body which is too large, and thrown away: whoever is still writing when the
connection is closed gets a reset, and never sees the answer."""


class ClientGone(Exception):  # noqa: N818 - nobody's error
    """The client has left before its body was here."""


def check_head(headers: Headers, max_bytes: int) -> None:
    """Refuse a body by what the header says of it.

    Raises:
        Problem: it is packed, or no text: 415; or so large that none of it is worth reading: 413.
    """
    coding = headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Problem(415, f"the body is packed ({coding!r}): send it as it is", {"accept-encoding": "identity"})
    media_type, _, parameters = headers.get("content-type", "").lower().partition(";")
    if media_type.strip().startswith("multipart/"):
        raise Problem(415, "the body is a form of several parts: send the event's data, and nothing around it")
    _check_charset(parameters)
    length = headers.get("content-length", "")
    waits = headers.get("expect", "").lower() == "100-continue"
    if length.isdecimal() and int(length) > max_bytes * (1 if waits else PASSED_OVER):
        raise _too_large(max_bytes)


def _check_charset(parameters: str) -> None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise Problem(415, f"the body is said to be {value[:40]!r}: send UTF-8")


async def read_text(receive: Receive, max_bytes: int, timeout: float) -> str:
    """Return the body as text.

    Raises:
        Problem: it is larger than `max_bytes`: 413; not here within `timeout` seconds: 408; not UTF-8: 415.
        ClientGone: it will not come any more.
    """
    try:
        async with asyncio.timeout(timeout):
            body = await _read(receive, max_bytes)
    except TimeoutError:
        raise Problem(408, f"the body was not here within {timeout:g} s") from None
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Problem(415, f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from None


async def _read(receive: Receive, max_bytes: int) -> bytes:
    body, size, more = bytearray(), 0, True
    while more and size <= PASSED_OVER * max_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        more = message.get("more_body", False)
        # Counted while it comes: a length is not always said, and not always true.
        if size <= max_bytes:
            body += chunk
        else:
            body.clear()
    if size > max_bytes:
        raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the body is larger than {max_bytes} bytes: publish where the data is to be fetched")
