"""What was found, gathered by cause and route."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from unbroken.diagnose.logs.routes import looks_like_stream, may_stream
from unbroken.diagnose.logs.signature import Needs
from unbroken.diagnose.logs.values import Evidence, LogFinding
from unbroken.observe.text import printable

__all__ = ["Groups", "Sight"]

K = TypeVar("K")

GROUPS: Final = 1000
EVIDENCE: Final = 5
TEXT: Final = 300
LIKELY: Final = 600


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
    certain: bool = False

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
        self._doubtful: dict[tuple[str, str | None, Needs], _Group] = {}
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

    def add(self, cause: str, route: str | None, sight: Sight, count: int = 1, *, certain: bool = True) -> None:
        """Note that `cause` shows at `sight`."""
        if group := self._group(self._sure, (cause, route), count):
            group.add(sight, count)
            group.certain |= certain

    def add_many(self, cause: str, sights: list[Sight], count: int) -> None:
        """Note that `cause` shows `count` times without a route, at `sights` and then on."""
        for sight in sights:
            self.add(cause, None, sight)
        if sights and (rest := count - len(sights)) > 0:
            self.add(cause, None, sights[-1], rest)

    def suspect(self, cause: str, route: str | None, sight: Sight, needs: Needs) -> None:
        """Note that `cause` shows at `sight` if `route` streams, which may be known only in the end."""
        if needs is Needs.NOTHING:
            self.add(cause, route, sight)
        elif group := self._group(self._doubtful, (cause, route, needs), 1):
            group.add(sight, 1)

    def explain(self, cause: str, route: str | None, seconds: float, likely: str) -> None:
        """Say after which time streams were cut, and by whom perhaps."""
        if group := self._sure.get((cause, route)):
            group.seconds, group.likely = seconds, printable(likely, LIKELY)

    def _group(self, groups: dict[K, _Group], key: K, count: int) -> _Group | None:
        if key not in groups and len(groups) >= GROUPS:
            self.dropped["findings beyond the first 1000 groups"] += count
            return None
        return groups.setdefault(key, _Group())

    def findings(self) -> tuple[LogFinding, ...]:
        """Return them, the most frequent first. What stayed doubtful is unrelated."""
        for (cause, route, needs), group in self._doubtful.items():
            if self.is_stream(route) or (needs is Needs.NAME and may_stream(route)):
                self._merge(cause, route, group)
            else:
                self.unrelated += group.count
        self._doubtful.clear()
        ordered = sorted(self._sure.items(), key=lambda item: (-item[1].count, item[0][0], item[0][1] or ""))
        return tuple(_finding(cause, route, group) for (cause, route), group in ordered)

    def _merge(self, cause: str, route: str | None, group: _Group) -> None:
        into = self._group(self._sure, (cause, route), group.count)
        if into is None:
            return
        into.certain = True
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
        certain=group.certain,
    )
