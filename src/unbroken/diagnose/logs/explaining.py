"""`explain`: from logs to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from unbroken.diagnose.logs.groups import Groups
from unbroken.diagnose.logs.reading import Reading
from unbroken.diagnose.logs.sources import Blocks, Source
from unbroken.diagnose.logs.totals import Totals
from unbroken.diagnose.logs.values import Explanation
from unbroken.diagnose.logs.walls import Walls

__all__ = ["explain"]


def explain(sources: Iterable[Source], *, progress: Callable[[int], object] | None = None) -> Explanation:
    """Read logs, and say which causes break event streams there.

    Reads what uvicorn, gunicorn, hypercorn, granian, daphne, nginx, HAProxy, Envoy,
    Caddy, Heroku's router and unbroken write, as text or as JSON lines, also behind
    the prefixes of containers, journald and syslog, and packed by gzip, bz2 or xz (by
    zstd from Python 3.14 on), in UTF-8 or what a byte order mark says. The same
    exceptions in code that streams nothing are counted as `unrelated`, and are no
    findings.

    The logs are streamed: memory does not grow with their size. What a bound leaves
    out (a line's bytes beyond 64 KiB, a traceback's lines beyond 2000, groups of
    findings beyond 1000) is counted in `dropped`. May be called from any thread.

    Args:
        sources: Paths, `-` for standard input, or files open for reading bytes,
            which are left open. They are read one after another.
        progress: Called with the number of bytes each time some were read; of a
            packed file those of the file itself.

    Raises:
        DiagnosisError: A file cannot be read, or is packed in a way that this Python
            does not know. One that ends in the midst is read as far as it goes, and counted in `dropped`.
    """
    groups, totals = Groups(), Totals()
    walls = Walls(groups)
    names: list[str] = []
    bytes_read = 0
    for source in sources:
        blocks = Blocks(source, progress)
        _read(blocks, groups, walls, totals)
        names.append(blocks.name)
        bytes_read += blocks.bytes_read
    return _explanation(groups, totals, tuple(names), bytes_read)


def _read(blocks: Blocks, groups: Groups, walls: Walls, totals: Totals) -> None:
    reading = Reading(blocks, groups, walls, totals)
    for block in blocks:
        reading.read(block)
    reading.end()
    if blocks.clipped:
        totals.dropped["ends of lines longer than 64 KiB"] += blocks.clipped
    if blocks.damaged:
        totals.dropped["rests of packed files that are damaged or cut"] += 1


def _explanation(groups: Groups, totals: Totals, names: tuple[str, ...], bytes_read: int) -> Explanation:
    findings = groups.findings()
    return Explanation(
        findings=findings,
        sources=names,
        lines=totals.lines,
        bytes_read=bytes_read,
        streams=totals.streams,
        refused=totals.refused,
        tracebacks=totals.tracebacks,
        unrelated=totals.unrelated + groups.unrelated,
        dropped=dict(totals.dropped + groups.dropped),
    )
