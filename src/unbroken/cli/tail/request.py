"""What is asked, and of whom, from the words of a command line."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unbroken.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import httpx2

__all__ = ["body_of", "client_of", "headers_of"]

MAX_BYTES = 16 * 1024 * 1024
"""Of a body that is to be sent, or of a file of headers."""


def headers_of(given: Sequence[str], body: bytes | None) -> dict[str, str]:
    """Return the headers, those of the same name as one; for a body that is JSON its content type, too.

    Raises:
        ConfigurationError: one of them is none, or their file cannot be read.
    """
    headers = dict[str, str]()
    for name, value in _headers(given):
        before = headers.get(name)
        # RFC 9110, 5.3: what a list of several fields of a name means. RFC 6265, 5.4: of cookies there is one.
        headers[name] = value if before is None else f"{before}{'; ' if name == 'cookie' else ', '}{value}"
    if body is not None and _is_json(body):
        headers.setdefault("content-type", "application/json")
    return headers


def _headers(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        # utf-8-sig: some editors begin a file with a byte order mark.
        read = text.startswith("@")
        lines = _read("--header", text[1:]).decode("utf-8-sig", "replace").splitlines() if read else [text]
        yield from (_header(line) for line in lines if line.strip())


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # Not the text: it may be a credential without its name.
        raise ConfigurationError(
            "--header has no name and colon: give it as 'Name: value', or a file of such lines by @"
        )
    return name.strip().lower(), value.strip()


def body_of(text: str | None) -> bytes | None:
    """Return the body: the text, what is in `@FILE`, or in standard input for `@-`.

    Raises:
        ConfigurationError: it cannot be read, or is longer than 16 MiB.
    """
    if text is None:
        return None
    return _read("--data", text[1:]) if text.startswith("@") else os.fsencode(text)


def _read(option: str, name: str) -> bytes:
    try:
        if name == "-" and sys.stdin is None:
            raise ConfigurationError(f"{option} @-: standard input is closed")
        if name == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{option} @{name}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{option} @{name} has more than {MAX_BYTES} bytes")
    return content


def _is_json(body: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(body), dict | list)
    return False


def client_of(ca: Path | None, *, insecure: bool) -> httpx2.AsyncClient | None:
    """Return a client that trusts other certificates than usual, None where the usual one will do.

    Raises:
        ConfigurationError: the file has no certificates.
        MissingExtraError: httpx2 is not installed.
    """
    if ca is None and not insecure:
        return None
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError("httpx2", "client") from error
    return httpx2.AsyncClient(verify=False if ca is None else _trusting(ca), timeout=None)


def _trusting(ca: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # an SSLError is one
        raise ConfigurationError(
            f"--ca {ca} has no certificates that can be read: {error.strerror or error}"
        ) from error
