"""Every rewrite of one module, in one plan."""

from __future__ import annotations

from collections.abc import Iterable

import libcst as cst

from unbroken.diagnose.source.fixing.framing import frame_once
from unbroken.diagnose.source.fixing.handlers import Told, let_pass
from unbroken.diagnose.source.fixing.headers import drop_hop_by_hop
from unbroken.diagnose.source.fixing.libraries import import_ours, moved_libraries
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.fixing.responses import answer_with_ours
from unbroken.diagnose.source.fixing.sleeping import sleep_alone
from unbroken.diagnose.source.fixing.subclasses import base_on_ours
from unbroken.diagnose.source.fixing.subscribers import remove_in_finally
from unbroken.diagnose.source.streams import Kind, Stream, is_generator, streams

__all__ = ["rewrite"]

THEIRS = frozenset({Kind.SSE_STARLETTE, Kind.FASTAPI})
OURS = frozenset({Kind.UNBROKEN, Kind.COMPAT})


def rewrite(plan: Plan) -> None:
    """Put into `plan` all that is to be done to its module."""
    found = streams(plan.module)
    # A guard mends the responses behind it as they are served, so theirs stay.
    ours = [] if plan.module.guarded else _taken_over(plan, found)
    frame_once(plan, found, ours)
    for stream in found:
        drop_hop_by_hop(plan, stream)
    _let_pass(plan, found, ours)
    reached = dict.fromkeys(function for stream in found for function in stream.reach)
    sleep_alone(plan, found)
    remove_in_finally(plan, reached)


def _let_pass(plan: Plan, found: list[Stream], ours: list[Stream]) -> None:
    told = dict.fromkeys(_generators(plan, found), Told.NEVER)
    told |= dict.fromkeys(_generators(plan, (stream for stream in found if stream.kind in OURS)), Told.ALWAYS)
    told |= dict.fromkeys(_generators(plan, ours), Told.FROM_NOW_ON)
    for function, how in told.items():
        let_pass(plan, function, how)


def _taken_over(plan: Plan, found: list[Stream]) -> list[Stream]:
    """Give the streams the responses of this package, and return those that then have one."""
    imported = import_ours(plan, found, plan.shared)
    moved = moved_libraries(plan)
    answered = answer_with_ours(plan, found, plan.shared)
    based = base_on_ours(plan, found)
    return [*imported, *answered, *based, *(stream for stream in found if moved and stream.kind in THEIRS)]


def _generators(plan: Plan, found: Iterable[Stream]) -> list[cst.FunctionDef]:
    reached = dict.fromkeys(function for stream in found for function in stream.reach)
    return [function for function in reached if is_generator(plan.module, function)]
