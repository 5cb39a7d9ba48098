"""What was found, gathered by cause and route."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from unbroken.diagnose.logs.routes import looks_like_stream
from unbroken.diagnose.logs.values import Evidence, LogFinding
from unbroken.observe.text import printable

__all__ = ["Groups", "Sight"]

GROUPS: Final = 1000
EVIDENCE: Final = 5
TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class Sight:
    """One place in a log."""

    source: str
    number: int
    text: str
    time: datetime | None = None
    where: str | None = None

    def as_evidence(self) -> Evidence:
        """Return it as people may see it: a log can hold commands to terminals."""
        where = None if self.where is None else printable(self.where, TEXT)
        return Evidence(self.source, self.number, printable(self.text, TEXT), where)


@dataclass(slots=True)
class _Group:
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    evidence: list[Evidence] = field(default_factory=list)
    seconds: float | None = None
    likely: str | None = None

    def add(self, sight: Sight, count: int) -> None:
        self.count += count
        if len(self.evidence) < EVIDENCE:
            self.evidence.append(sight.as_evidence())
        if sight.time is not None:
            self.first = sight.time if self.first is None else min(self.first, sight.time)
            self.last = sight.time if self.last is None else max(self.last, sight.time)


class Groups:
    """The findings as they grow."""

    def __init__(self) -> None:
        self._sure: dict[tuple[str, str | None], _Group] = {}
        self._doubtful: dict[tuple[str, str | None], _Group] = {}
        """What speaks of a stream only if its route is known, in the end, to be one."""
        self._streams: set[str] = set()
        self.unrelated = 0
        self.dropped: Counter[str] = Counter()

    def saw_stream(self, route: str | None) -> None:
        """Remember that `route` streams."""
        if route is not None and len(self._streams) < GROUPS:
            self._streams.add(route)

    def is_stream(self, route: str | None) -> bool:
        """Say whether `route` streams, as far as is known by now."""
        return route in self._streams or looks_like_stream(route)

    def add(self, cause: str, route: str | None, sight: Sight, count: int = 1, *, sure: bool = True) -> None:
        """Note that `cause` shows at `sight`."""
        group = self._group(self._sure if sure else self._doubtful, (cause, route))
        if group is None:
            self.dropped["findings beyond the first 1000 groups"] += count
        else:
            group.add(sight, count)

    def explain(self, cause: str, route: str | None, seconds: float, likely: str) -> None:
        """Say after which time streams were cut, and by whom perhaps."""
        if group := self._group(self._sure, (cause, route)):
            group.seconds, group.likely = seconds, likely

    def _group(self, groups: dict[tuple[str, str | None], _Group], key: tuple[str, str | None]) -> _Group | None:
        if key not in groups and len(groups) >= GROUPS:
            return None
        return groups.setdefault(key, _Group())

    def findings(self) -> tuple[LogFinding, ...]:
        """Return them, the most frequent first. What stayed doubtful is unrelated."""
        for (cause, route), group in self._doubtful.items():
            if self.is_stream(route):
                self._merge(cause, route, group)
            else:
                self.unrelated += group.count
        self._doubtful.clear()
        ordered = sorted(self._sure.items(), key=lambda item: (-item[1].count, item[0][0], item[0][1] or ""))
        return tuple(_finding(cause, route, group) for (cause, route), group in ordered)

    def _merge(self, cause: str, route: str | None, group: _Group) -> None:
        into = self._group(self._sure, (cause, route))
        if into is None:
            return
        into.count += group.count
        into.evidence = [*into.evidence, *group.evidence][:EVIDENCE]
        into.first = min(filter(None, (into.first, group.first)), default=None)
        into.last = max(filter(None, (into.last, group.last)), default=None)


def _finding(cause: str, route: str | None, group: _Group) -> LogFinding:
    return LogFinding(
        cause=cause,
        route=route,
        count=group.count,
        first=group.first,
        last=group.last,
        evidence=tuple(group.evidence),
        seconds=group.seconds,
        likely=group.likely,
    )
