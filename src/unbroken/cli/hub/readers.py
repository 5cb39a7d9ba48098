"""Who reads what: as the running processes say themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from unbroken.cli.hub.opening import opened_hub
from unbroken.cli.hub.output import columns
from unbroken.hub import ClusterStats

__all__ = ["as_plain", "ask", "lines"]


async def ask(url: str, topics: Sequence[str], timeout: float) -> ClusterStats:
    """Return what the processes on a log say.

    Raises:
        LogUnavailable: they cannot be asked now.
    """
    async with opened_hub(url) as hub:
        return await hub.stats(*topics, cluster=True, timeout=timeout)


def lines(found: ClusterStats) -> Iterator[str]:
    """Yield a line for each process."""
    rows = [("PROCESS", "STREAMS", "LIVE", "BEHIND", "")]
    for each in found.processes:
        stats = each.stats
        rows.append((each.process, str(stats.subscribers), str(stats.live), str(stats.behind), stats.trouble or ""))
    yield from columns(rows, right=(1, 2, 3))


def as_plain(found: ClusterStats) -> list[dict[str, Any]]:
    """Return it as plain data."""
    return [
        {"process": each.process, "stats": asdict(each.stats), "subscribers": dict(each.subscribers)}
        for each in found.processes
    ]
