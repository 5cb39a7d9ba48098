"""How an MCP client asks for a tool's stream, down to the bytes, in either era of the protocol."""

from __future__ import annotations

import json

from .cells import Cell, Options, ask
from .clients import Post

__all__ = ["ask_as_the_library_wants"]

VERSIONS = {"mcp-2025": "2025-11-25", "mcp-2026": "2026-07-28"}
"""The SDK serves the older one by sse-starlette and a session's task, the newer one by itself, in the request's."""


def ask_as_the_library_wants(cell: Cell, options: Options) -> tuple[str, Post | None]:
    """Ask by GET, or call the tool, which reports its progress on the stream of the answer."""
    path, _ = ask(cell, options)
    version = VERSIONS.get(cell.library or "")
    return path, None if version is None else Post(_call(cell, options, version), _headers(version))


def _headers(version: str) -> tuple[tuple[str, str], ...]:
    return (
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
        ("MCP-Protocol-Version", version),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "stream"),
    )


def _call(cell: Cell, options: Options, version: str) -> bytes:
    arguments = {"kind": cell.kind, "probe": cell.probe, "size": options.get("size", 0)}
    meta = {
        "progressToken": 1,
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "stream", "arguments": {**arguments, "patience": options.get("patience")}, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
