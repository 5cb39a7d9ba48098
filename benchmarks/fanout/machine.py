"""The machine and the versions: no figure means anything without them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version, release, system

from benchmarks.fanout.tools import nginx, node, packages_of_node, words

__all__ = ["machine", "machine_and"]

_PACKAGES = (
    "uvicorn", "httptools", "uvloop", "starlette", "fastapi", "sse-starlette", "litestar", "aiohttp", "aiohttp-sse",
)  # fmt: skip


def machine(peers: Collection[str]) -> str:
    """Describe a run of these peers in one line."""
    parts = [
        machine_and(_PACKAGES),
        *(_node() if "better-sse" in peers else ()),
        *(_nginx() if "nchan" in peers else ()),
    ]
    return ", ".join(parts)


def machine_and(packages: Iterable[str]) -> str:
    """Describe the machine and the versions of these packages."""
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{os.cpu_count()} cores ({_processor()})",
        f"{system()} {release()}",
        f"CPython {python_version()}",
        *map(_package, packages),
    ]
    return ", ".join(parts)


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


def _node() -> list[str]:
    manifest = json.loads((packages_of_node() / "better-sse" / "package.json").read_text())
    return [f"Node {words([node(), '--version'])}", f"better-sse {manifest['version']}"]


def _nginx() -> list[str]:
    # Debian's package of the module is the only place that knows its version.
    module = words(["dpkg-query", "--show", "--showformat", "nchan ${Version}", "libnginx-mod-nchan"])
    return [words([nginx(), "-v"]).removeprefix("nginx version: "), module]
