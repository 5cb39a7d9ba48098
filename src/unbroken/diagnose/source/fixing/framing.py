"""Frames that are written by hand for a response which writes them itself: clients read the frame as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.frames import expression_of, frame_of
from unbroken.diagnose.source.fixing.origins import Origins
from unbroken.diagnose.source.fixing.outputs import Draft
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.fixing.responses import write_events
from unbroken.diagnose.source.fixing.templates import quote_of, template_of
from unbroken.diagnose.source.streams import Kind, Stream

__all__ = ["frame_once"]

CODE: Final = "SSE018"
SSE_STARLETTE: Final = "unbroken.compat.sse_starlette"
FASTAPI: Final = "unbroken.compat.fastapi"


def frame_once(plan: Plan, found: Iterable[Stream], ours: Collection[Stream]) -> None:
    """Have the events that such frames were meant to be yielded in their place.

    Args:
        plan: Takes the edits.
        found: All streams of the module.
        ours: Those whose response is imported from this package from now on.
    """
    known = [stream for stream in found if stream.function is not None and "preframed" not in stream.options]
    users = Counter(function for stream in known for function in stream.reach)
    origins = Origins(plan.module)
    for stream in known:
        home = _home(plan, stream, is_ours=stream in ours)
        draft = Draft()
        for function in stream.reach if home else ():
            if users[function] == 1:
                _read(plan, function, draft, origins)
        if home and draft.frames:
            # A generator route's `str` is JSON: `raw_data` alone goes out as it is.
            write_events(plan, [draft], home, "raw_data" if home in {FASTAPI, "fastapi.sse"} else None)


def _home(plan: Plan, stream: Stream, *, is_ours: bool) -> str | None:
    """Return the module of the `ServerSentEvent` that the stream's response knows."""
    if stream.kind is Kind.UNBROKEN:
        return "unbroken"
    if stream.kind is Kind.FASTAPI:
        return FASTAPI if is_ours else "fastapi.sse"
    if stream.kind is Kind.SSE_STARLETTE:
        return SSE_STARLETTE if is_ours else "sse_starlette"
    if stream.kind is not Kind.COMPAT:
        return None
    made = plan.module.called(stream.at)
    return FASTAPI if made is None else SSE_STARLETTE if made.startswith(SSE_STARLETTE) else None


def _read(plan: Plan, function: cst.FunctionDef, draft: Draft, origins: Origins) -> None:
    for found in plan.module.find(cst.Yield, within=function.body, own=True):
        value = found.value
        if isinstance(value, cst.BaseExpression) and plan.found(value, CODE):
            template = template_of(plan.module, value)
            frame = frame_of(template) if template else None
            if frame is None or not frame.is_closed or origins.frame(frame.texts):
                continue
            if expression_of(frame, "ServerSentEvent", plan.module.code):
                draft.frames[value] = replace(frame, quote=quote_of(plan.module, value))
                draft.functions[function] = None
