"""What `explain` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Evidence", "Explanation", "LogFinding"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A line of a log that shows something."""

    source: str
    """The file as it was named, `-` for standard input."""
    line: int
    """Counted from 1."""
    text: str
    """The line without its container's prefix, printable, cut at 300 characters."""
    where: str | None = None
    """Of a traceback: file, line and function of the application's innermost frame."""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data, for JSON."""
        return {"source": self.source, "line": self.line, "text": self.text, "where": self.where}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFinding:
    """One cause on one route, with everything in the logs that shows it."""

    cause: str
    """The id of a cause; `unbroken.diagnose.find_cause` has its meaning and its fix."""
    route: str | None
    """The path with `{id}` for what looks like one; None where the log does not tell."""
    count: int
    """How often it was seen."""
    first: datetime | None
    """The earliest time seen, in UTC; None where no line of it has a date. A time without a zone is taken as UTC."""
    last: datetime | None
    evidence: tuple[Evidence, ...]
    """The first five lines that show it."""
    seconds: float | None = None
    """Of `idle-timeout` and `age-limit`: the time after which streams end, if their ends show it."""
    likely: str | None = None
    """The hops that are known to have that time. Where it is not `certain`, all that comes into question."""
    certain: bool = True
    """False where a log has durations only: that streams end after the same time is sure, and why is not."""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data, for JSON; times in ISO 8601."""
        return {
            "cause": self.cause,
            "route": self.route,
            "count": self.count,
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "seconds": self.seconds,
            "likely": self.likely,
            "certain": self.certain,
            "evidence": [evidence.as_dict() for evidence in self.evidence],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What some logs show."""

    findings: tuple[LogFinding, ...]
    """The most frequent first; empty if nothing breaks streams there."""
    sources: tuple[str, ...]
    lines: int
    bytes_read: int
    """As they lie on disk: of a compressed file the compressed bytes."""
    streams: int
    """Ends of streams that were seen, in access logs and in unbroken's lines."""
    refused: int
    """Streams that unbroken refused for a limit."""
    tracebacks: int
    unrelated: int
    """Look-alikes, in code or on routes that stream nothing: a database's `ConnectionResetError`."""
    dropped: Mapping[str, int]
    """What a bound left out, and how often; empty if nothing was."""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data, for JSON."""
        return {
            "findings": [finding.as_dict() for finding in self.findings],
            "sources": list(self.sources),
            "lines": self.lines,
            "bytes_read": self.bytes_read,
            "streams": self.streams,
            "refused": self.refused,
            "tracebacks": self.tracebacks,
            "unrelated": self.unrelated,
            "dropped": dict(self.dropped),
        }
