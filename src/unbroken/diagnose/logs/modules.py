"""Whose code a frame of a logged traceback is, by its file."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final

from unbroken.observe.log_filter import PASSING_ON, PLUMBING, SERVERS, STREAMING, STREAMING_FUNCTIONS

__all__ = ["APPLICATION", "Owner", "is_client_streaming", "is_responding", "is_streaming", "module_of", "owner_of"]

APPLICATION: Final = ""
"""The module's name of code that lies neither in a library nor in Python."""

LIBRARY_PATH: Final = re.compile(r"(?:site|dist)-packages[/\\](.{1,300}?)\.(?:pyx?|pyc)$")
PYTHON_PATH: Final = re.compile(
    r"lib(?:64)?[/\\]python3\.\d+[/\\](?!site-|dist-)(.{1,300}?)\.py$|[/\\]Lib[/\\](?!site-)(.{1,300}?)\.py$"
)
OURS: Final = re.compile(r"[/\\](unbroken[/\\](?:stream|servers|compat|observe|wire|diagnose)[/\\].{1,300}?)\.py$")

PROTOCOLS: Final = frozenset({"h11", "h2", "httptools", "zttp", "wsproto", "hpack"})
"""Libraries that raise on behalf of the server that uses them."""

AIOHTTP_SERVER: Final = ("aiohttp.web_response", "aiohttp.web_protocol", "aiohttp.http_writer", "aiohttp_sse")
OTHER_STREAMING: Final = ("aiohttp_sse", "django_eventstream", "litestar.response.sse")
RESPONDING: Final = frozenset({("starlette.responses", "stream_response"), ("aiohttp.web_response", "write")})
"""They send whatever comes in pieces, events or a file."""

CLIENT_STREAMING: Final = (
    "httpx_sse", "httpx2._sse", "sseclient", "aiohttp_sse_client", "requests_sse", "ld_eventsource", "aiosseclient",
    "mcp.client.sse", "mcp.client.streamable_http", "openai._streaming", "anthropic._streaming", "unbroken.client",
)  # fmt: skip
CLIENT_FUNCTIONS: Final = frozenset({"iter_lines", "aiter_lines", "iter_sse", "aiter_sse"})
CLIENTS: Final = ("httpx", "httpx2", "requests", "aiohttp")


class Owner(Enum):
    """Whose code it is that raised."""

    SERVER = "server"
    APPLICATION = "application"
    LIBRARY = "library"
    NOBODY = "nobody"


@lru_cache(maxsize=4096)
def module_of(file: str) -> str:
    """Return the module that `file` is, or APPLICATION."""
    found = LIBRARY_PATH.search(file) or OURS.search(file)
    if found is None and (found := PYTHON_PATH.search(file)) is None:
        return _odd(file)
    path = next(filter(None, found.groups()))
    return re.sub(r"[/\\]", ".", path).removesuffix(".__init__")


def _odd(file: str) -> str:
    """Return the module of a file that lies nowhere: compiled code, and what the interpreter made itself."""
    top, slash, _ = file.partition("/")
    if slash and top in PLUMBING and file.endswith((".pyx", ".py")):
        return top
    return "sys" if file.startswith("<frozen ") else APPLICATION


def owner_of(modules: list[str]) -> Owner:
    """Return whose the innermost code of `modules` (the innermost last) is that is not mere plumbing."""
    for name in reversed(modules):
        if name == APPLICATION:
            return Owner.APPLICATION
        top = name.partition(".")[0]
        if top not in PLUMBING and top not in PROTOCOLS and name != PASSING_ON:
            return Owner.SERVER if _within(name, (*SERVERS, *AIOHTTP_SERVER)) else Owner.LIBRARY
    return Owner.NOBODY


@lru_cache(maxsize=4096)
def is_streaming(module: str, function: str) -> bool:
    """Say whether this function sends event streams, and nothing else."""
    pair = (module, function.rpartition(".")[2])
    return pair in STREAMING_FUNCTIONS - RESPONDING or _within(module, (*STREAMING, *OTHER_STREAMING))


@lru_cache(maxsize=4096)
def is_responding(module: str, function: str) -> bool:
    """Say whether this function sends a response piece by piece, whatever it is."""
    return (module, function.rpartition(".")[2]) in RESPONDING or is_streaming(module, function)


def is_client_streaming(module: str, function: str) -> bool:
    """Say whether this function reads a stream."""
    if _within(module, CLIENT_STREAMING):
        return True
    return function.rpartition(".")[2] in CLIENT_FUNCTIONS and _within(module, CLIENTS)


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
