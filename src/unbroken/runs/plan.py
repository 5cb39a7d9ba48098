"""What a run is to produce, and how; kept beside the run, for the process that begins it anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unbroken.errors import ConfigurationError
from unbroken.runs.names import CONTROL
from unbroken.runs.producing import Producer
from unbroken.runs.writer import Bounds
from unbroken.wire.json_data import to_json

if TYPE_CHECKING:
    from unbroken.runs.desk import Desk
    from unbroken.runs.record import Record

__all__ = ["Plan", "check_plan", "find_plan", "write_plan"]

PAGE_ENTRIES = 256

_SAID = ("args", "timeout", "coalesce", "patience", "max_events", "max_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be produced, and how."""

    producer: Producer
    args: Sequence[object]
    timeout: float | None
    coalesce: float
    patience: float | None
    """Seconds for which it goes on without readers; None for ever."""
    max_events: int | None
    max_bytes: int | None
    """None is what holds for all runs."""

    def bounds(self, usual: Bounds) -> Bounds:
        """Return how much it may send."""
        return replace(
            usual, max_events=self.max_events or usual.max_events, max_bytes=self.max_bytes or usual.max_bytes
        )


def check_plan(plan: Plan, max_bytes: int) -> None:
    """Refuse a plan that is larger than an event may be.

    Raises:
        ConfigurationError: it is.
    """
    size = len(_payload(plan, ""))
    if size > max_bytes:
        raise ConfigurationError(
            f"on_orphan='restart' keeps the arguments as JSON: they have {size} bytes and may have {max_bytes}: "
            "give an id, by which the producer finds them"
        )


async def write_plan(desk: Desk, record: Record, plan: Plan) -> None:
    """Keep what another process needs to begin a run anew, beside its producer.

    Raises:
        LogUnavailable: it cannot be kept now.
    """
    await desk.append(CONTROL + record.run, [_payload(plan, record.plan)])


async def find_plan(desk: Desk, record: Record, producer: Producer) -> Plan | None:
    """Return how a run is begun anew; None if that was not kept.

    Raises:
        LogUnavailable: it cannot be read now.
    """
    topic = CONTROL + record.run
    head = await desk.log.head(topic)
    after = head.first_seq - 1
    while after < head.seq:  # it is said again and again, lest it grow old: the first that is there will do
        page = await desk.log.read(topic, after, PAGE_ENTRIES)
        plans = (_read(entry.payload, record.plan, producer) for entry in page.entries)
        plan = next((plan for plan in plans if plan is not None), None)
        if plan is not None or not page.entries:
            return plan
        after = page.entries[-1].seq
    return None


def _payload(plan: Plan, name: str) -> bytes:
    said = {each: getattr(plan, each) for each in _SAID}
    return to_json({"plan": name, **said, "args": list(plan.args)}).encode()


def _read(payload: bytes, name: str, producer: Producer) -> Plan | None:
    """Return what was said under this name; None if this is something else, or of a start that lost."""
    said = json.loads(payload)
    if said.get("plan") != name:
        return None
    return Plan(producer=producer, **{each: said[each] for each in _SAID})
