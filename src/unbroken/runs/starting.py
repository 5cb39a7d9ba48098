"""How a run begins: which one it is, who else wants it, and who gets it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from unbroken.errors import ConfigurationError, Fenced, LogError, RunConflict, RunsClosing, TooManyRuns, TopicClosed
from unbroken.logs.position import new_token
from unbroken.observe import logger
from unbroken.runs.events import end_payload
from unbroken.runs.names import DATA, Owner, System, check_group, check_id, digest_of, new_id
from unbroken.runs.options import RunsOptions, check_choice, check_count, check_seconds
from unbroken.runs.origin import as_ended, elect, new_fence, recover
from unbroken.runs.plan import Plan, check_plan, write_plan
from unbroken.runs.presence import OnDisconnect, patience_of
from unbroken.runs.producing import Producer, check_call, check_producer
from unbroken.runs.record import OnOrphan, Record, RunStatus
from unbroken.runs.registry import Registry, check_restartable
from unbroken.runs.run import Run

if TYPE_CHECKING:
    from unbroken.runs.works import Works

__all__ = ["OnConflict", "Order", "order_of", "start"]

OnConflict = Literal["attach", "reject", "interrupt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for."""

    id: str
    is_new: bool
    """The id was made for it: nobody else can have it."""
    owner: Owner
    group: str
    plan: Plan
    producer: str
    on_conflict: OnConflict
    on_orphan: OnOrphan
    max_attempts: int
    ttl: float


def order_of(
    registry: Registry,
    producer: Producer | str,
    args: Sequence[object],
    *,
    id: str | None,  # noqa: A002 # the field's own name
    owner: Owner,
    group: str | None,
    on_disconnect: OnDisconnect,
    on_conflict: OnConflict,
    on_orphan: OnOrphan,
    timeout: float | None,
    coalesce: float,
    max_attempts: int,
    max_events: int | None,
    max_bytes: int | None,
    ttl: float | None,
    options: RunsOptions,
) -> Order:
    """Return what was asked for, checked.

    Raises:
        ConfigurationError: an argument is none of its values.
    """
    found, name = registry.resolve(producer)
    check_producer(found, args)
    check_choice("on_conflict", on_conflict, get_args(OnConflict))
    check_choice("on_orphan", on_orphan, get_args(OnOrphan))
    check_count("max_attempts", max_attempts)
    for bound, most in (("max_events", max_events), ("max_bytes", max_bytes)):
        if most is not None:
            check_count(bound, most)
    if timeout is not None:
        check_seconds("timeout", timeout)
    if coalesce != 0:
        check_seconds("coalesce", coalesce)
    options.check_ttl(ttl)
    if on_orphan == "restart":
        check_restartable(name, args)
    check_call(found, args)
    if isinstance(owner, System):
        raise ConfigurationError("owner=SYSTEM is nobody: leave it out for a run that anybody may read who has its id")
    digest_of(owner)
    patience = patience_of(on_disconnect)
    return Order(
        id=new_id() if id is None else check_id(id),
        is_new=id is None,
        owner=owner,
        group=check_group(group),
        plan=Plan(
            producer=found,
            args=args,
            timeout=timeout,
            coalesce=coalesce,
            patience=patience,
            max_events=max_events,
            max_bytes=max_bytes,
        ),
        producer=name,
        on_conflict=on_conflict,
        on_orphan=on_orphan,
        max_attempts=max_attempts,
        ttl=ttl or options.ttl,
    )


async def start(works: Works, order: Order) -> Run:
    """Begin a run, or return the one that is there.

    Raises:
        RunConflict, TooManyRuns, LogUnavailable: as `Runs.start`.
    """
    there = None if order.is_new else await _there(works, order.id)
    if there is not None:
        return _attach(works, order, there)
    if _rivals(works, order, None) or _is_refused(works, order, None):
        await _look_again(works, order)
    rivals = _rivals(works, order, None)
    if rivals and order.on_conflict != "interrupt":
        return _yield_to(works, order, rivals[0])
    _check_owner(works, order, None)
    record, is_ours = await _elect(works, order)
    return await _begin(works, order, record) if is_ours else _attach(works, order, record)


async def _look_again(works: Works, order: Order) -> None:
    """See whether what is in the way has ended: readers see that a moment before the index has it.

    Whoever sends the next message on seeing the end of the last must not be given that run once more.
    """
    await works.index.refresh()
    owner = digest_of(order.owner)
    for record in works.index.running:
        if record.owner == owner and (record.group == order.group or works.options.max_per_owner is not None):
            head = await works.desk.log.head(DATA + record.run)
            if head.closed and head.epoch == record.epoch:
                works.index.note(await as_ended(works.desk, record))


async def _there(works: Works, id: str) -> Record | None:  # noqa: A002 # the field's own name
    """Return the run of an id; if need be from its own topic: its process may have died before it told the index."""
    record = await works.index.find(id)
    if record is None and (record := await recover(works.desk, id)) is not None:
        record = await works.index.ensure(record)
    return record


def _attach(works: Works, order: Order, record: Record) -> Run:
    if not record.is_open_to(order.owner):
        raise RunConflict(f"id={order.id!r} is taken: give another, or None for a new one")
    if order.on_conflict == "reject":
        raise RunConflict(f"run {order.id!r} is there already: it is {record.status}", id=record.run)
    return Run(works.access, record.run, None)


def _yield_to(works: Works, order: Order, rival: Record) -> Run:
    if order.on_conflict == "reject":
        raise RunConflict(f"run {rival.run!r} is running in group {order.group!r}", id=rival.run)
    return Run(works.access, rival.run, None)


def _rivals(works: Works, order: Order, before: Record | None) -> list[Record]:
    """Return what is running in the order's group; with a record, only what was there before it."""
    owner = digest_of(order.owner)
    found = [it for it in works.index.running if order.group and (it.owner, it.group) == (owner, order.group)]
    return found if before is None else [it for it in found if it.seq < before.seq]


def _check_owner(works: Works, order: Order, before: Record | None) -> None:
    if _is_refused(works, order, before):
        raise TooManyRuns(
            f"this owner has max_per_owner={works.options.max_per_owner} runs: wait for one to end, or cancel it"
        )


def _is_refused(works: Works, order: Order, before: Record | None) -> bool:
    """Whether the order's owner has as many runs as he may; with a record, counting those before it."""
    most, owner = works.options.max_per_owner, digest_of(order.owner)
    if most is None or not owner:
        return False
    count = sum(it.owner == owner and (before is None or it.seq < before.seq) for it in works.index.running)
    if order.on_conflict == "interrupt":
        count -= len(_rivals(works, order, before))  # they make room
    return count >= most


async def _elect(works: Works, order: Order) -> tuple[Record, bool]:
    """Take the id, or find who has it; and say whether it is ours. Another request of this process may be first."""
    record = Record(
        run=order.id,
        epoch="",
        attempt=1,
        process=works.process,
        fence=new_fence(),
        owner=digest_of(order.owner),
        group=order.group,
        on_orphan=order.on_orphan,
        max_attempts=order.max_attempts,
        watched=order.plan.patience is not None,
        producer=order.producer,
        plan=new_token(8) if order.on_orphan == "restart" else "",
        ttl=order.ttl,
        started_at=round(time.time(), 3),
    )
    if record.plan:
        # Before the election: who takes it over may have to do so a moment after it.
        check_plan(order.plan, works.bounds.max_event_bytes)
        await write_plan(works.desk, record, order.plan)
    with contextlib.suppress(TopicClosed, Fenced):
        elected = await elect(works.desk, record)
        if elected is not None:
            return elected, True
    other = await recover(works.desk, order.id)
    if other is None:
        raise RunConflict(f"id={order.id!r} is taken: give another, or None for a new one")
    # Its winner may never come to tell, and who was answered with it may ask any process.
    return await works.index.ensure(other), False


async def _begin(works: Works, order: Order, record: Record) -> Run:
    works.starting.add(record.run)
    try:
        written = await works.index.write(record)
        _check_owner(works, order, written)
        rivals = _rivals(works, order, written)
        if rivals and order.on_conflict != "interrupt":
            await _withdraw(works, record)
            return _yield_to(works, order, rivals[0])
        await _interrupt(works, rivals, works.options.cleanup_timeout)
        if works.is_over:
            raise RunsClosing("this process has shut down before the run could begin: ask another one, or ask again")
        now = works.index.get(record.run) or record
        if not now.is_attempt(record):
            return _attach(works, order, now)  # this process stood still, and another one has taken the run over
        return works.launch(record, order.plan)
    except BaseException:
        await _withdraw(works, record)
        raise
    finally:
        works.starting.discard(record.run)


async def _interrupt(works: Works, rivals: list[Record], timeout: float) -> None:
    """Cancel what is running in a group, and wait for its ends; not for longer than producers have for that."""
    for rival in rivals:
        await works.cancel(rival)
    if rivals:
        ends = [works.spawn(works.index.ended(rival.run)) for rival in rivals]
        await asyncio.wait(ends, timeout=timeout)
        for end in ends:
            end.cancel()


async def _withdraw(works: Works, record: Record) -> None:
    """End a run that has not begun."""
    try:
        payload = end_payload(RunStatus.CANCELLED, record.attempt)
        await works.desk.append(DATA + record.run, [payload], fence=record.fence, close=True)
        await works.index.write(replace(record, status=RunStatus.CANCELLED, ended_at=time.time()))
    except LogError as exc:
        logger.debug("run %r, which was not begun, is ended later: %s", record.run, exc)
