"""`StreamingResponse` becomes `EventSourceResponse`, and its hand-written frames the events that they frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing import layout
from unbroken.diagnose.source.fixing.frames import Frame, expression_of
from unbroken.diagnose.source.fixing.headers import is_encoded, remaining
from unbroken.diagnose.source.fixing.kept import why_kept
from unbroken.diagnose.source.fixing.outputs import Draft, drafts, is_keyword
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.streams import ANY_CONTENT, Kind, Stream

__all__ = ["EVENT", "FRAMED", "MOVED", "RESPONSE", "answer_with_ours", "write_events"]

RESPONSE: Final = "EventSourceResponse"
EVENT: Final = "ServerSentEvent"
MOVED: Final = ("SSE019", "SSE002", "SSE012", "SSE017", "SSE013")
"""The rules that complain of a `StreamingResponse`, the plainest first."""
FRAMED: Final = ("SSE011", "SSE018")
ONLY_TEXT: Final = frozenset({"text/event-stream", "text/event-stream;charset=utf-8"})
ORDER: Final = ("content", "status_code", "headers", "media_type", "background")


def answer_with_ours(plan: Plan, found: Iterable[Stream], shared: frozenset[str]) -> list[Stream]:
    """Give each raw event stream the response of this package; return the streams that then have it."""
    raw = [stream for stream in found if _is_raw(plan, stream)]
    understood = drafts(plan.module, raw, shared, lambda node: plan.found(node, "SSE018") is not None)
    write_events(plan, understood.values(), "unbroken")
    for stream in raw:
        _answer(plan, stream, understood.get(stream))
    _rename_annotations(plan, raw)
    _drop_unused_headers(plan, raw)
    return raw


def _is_raw(plan: Plan, stream: Stream) -> bool:
    call = stream.at
    return (
        stream.kind is Kind.STARLETTE
        and isinstance(call, cst.Call)
        and plan.module.called(call) in ANY_CONTENT
        and not any(arg.star for arg in call.args)
        and plan.allows(call, *MOVED)
        # What is put into a compressed body between two frames breaks it: a heartbeat would.
        and not is_encoded(plan.module, stream.options.get("headers"))
        and why_kept(plan.module, stream, inspected=plan.inspected) is None
    )


def _answer(plan: Plan, stream: Stream, draft: Draft | None) -> None:
    call = cst.ensure_type(stream.at, cst.Call)
    ours = plan.known_as("unbroken", RESPONSE, f"Unbroken{RESPONSE}")
    preframed = draft is None
    plan.edit(call, lambda updated: _rewritten(plan, call, updated, ours, preframed=preframed))
    way = ", its text as it is (`preframed=True`)" if preframed else ""
    code = plan.found(call, *MOVED)
    plan.note(call, code, f"answers with `unbroken.{RESPONSE}` in place of `{plan.module.code(call.func)}`{way}")
    _spare(plan, call)


def _spare(plan: Plan, call: cst.Call) -> None:
    name = plan.module.called(call)
    module, _, symbol = (name or "").rpartition(".")
    local = call.func.value if isinstance(call.func, cst.Name) else None
    plan.spare(module, symbol, local if local != symbol else None)


def _rewritten(plan: Plan, call: cst.Call, updated: cst.Call, ours: str, *, preframed: bool) -> cst.Call:
    """Return the call of our response: same content, status, background, and what is left of the headers."""
    kept: list[cst.Arg] = []
    gone = False
    for place, (before, after) in enumerate(zip(call.args, updated.args, strict=True)):
        name = before.keyword.value if before.keyword else ORDER[min(place, 4)]
        argument = _argument(plan, name, before, after)
        gone = gone or argument is None
        if argument is not None:
            # Once a place is left out, those that follow it need their names.
            kept.append(_named(argument, name) if gone and argument.keyword is None else argument)
    added = _named(cst.Arg(cst.Name("True")), "preframed") if preframed else None
    return updated.with_changes(func=cst.Name(ours), args=layout.arguments(updated, kept, added))


def _argument(plan: Plan, name: str, before: cst.Arg, after: cst.Arg) -> cst.Arg | None:
    if name == "media_type":
        text = plan.module.text_of(before.value) or ""
        # Another charset is the caller's own; another type was a mistake, since these are events.
        is_own = text.startswith("text/event-stream") and text.lower().replace(" ", "") not in ONLY_TEXT
        return after if is_own else None
    if name == "headers":
        left = remaining(plan, before.value)
        return None if left is None else after.with_changes(value=left)
    return after


def _named(argument: cst.Arg, name: str) -> cst.Arg:
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return argument.with_changes(keyword=cst.Name(name), equal=tight)


def _rename_annotations(plan: Plan, raw: Iterable[Stream]) -> None:
    """Name the new response where an endpoint says what it returns."""
    for endpoint in dict.fromkeys(stream.endpoint for stream in raw):
        returns = endpoint.returns if endpoint else None
        if returns is not None and plan.module.name(returns.annotation) in ANY_CONTENT:
            plan.replace(returns.annotation, cst.Name(plan.known_as("unbroken", RESPONSE, f"Unbroken{RESPONSE}")))


def _drop_unused_headers(plan: Plan, raw: Iterable[Stream]) -> None:
    """Take away a local dict of headers that the calls no longer name."""
    given = [headers for stream in raw if isinstance(headers := stream.options.get("headers"), cst.Name)]
    dropped = [name for name in given if remaining(plan, name) is None]
    for name in dropped:
        function = plan.module.function_around(name)
        named = (use for use in plan.module.find(cst.Name, within=function) if use.value == name.value)
        uses = [use for use in named if not is_keyword(plan.module, use)]
        targets = [use for use in uses if isinstance(plan.module.parent(use), cst.AssignTarget | cst.AnnAssign)]
        if len(targets) == 1 and all(use in dropped for use in uses if use not in targets):
            _drop_assignment(plan, targets[0])


def _drop_assignment(plan: Plan, target: cst.Name) -> None:
    line = next(outer for outer in plan.module.around(target) if isinstance(outer, cst.SimpleStatementLine))
    if len(line.body) == 1 and plan.module.function_around(target) is not None:
        plan.replace(line, cst.RemovalSentinel.REMOVE)


def write_events(plan: Plan, understood: Iterable[Draft], home: str, data: str | None = None) -> None:
    """Have frames made by `home`'s `ServerSentEvent`, or, where no stream needs one, by yielding their data.

    Args:
        plan: Takes the edits.
        understood: The frames.
        home: The module of the `ServerSentEvent`.
        data: The keyword of its data that goes out as it is; None where that is the first argument, and where a
            `str` that is yielded goes out so, too.
    """
    found = list(understood)
    frames: Mapping[cst.BaseExpression, Frame] = {
        node: frame for draft in found for node, frame in draft.frames.items()
    }
    if not frames:
        return
    alone = data is None and all(frame.is_data_alone for frame in frames.values())
    event = None if alone else plan.known_as(home, EVENT, f"Unbroken{EVENT}")
    for node, frame in frames.items():
        _write(plan, node, frame, event, data)
    for function in {function: None for draft in found for function in draft.functions}:
        _annotate(plan, function, event or "str")


def _write(plan: Plan, node: cst.BaseExpression, frame: Frame, event: str | None, data: str | None) -> None:
    made = expression_of(frame, event, plan.module.code, data)
    if made is None:
        return
    if plan.module.code(made) == plan.module.code(node):
        plan.note(node, plan.found(node, *FRAMED), "is framed by the response from now on")
        return
    plan.replace(node, made)
    what = "the data alone" if event is None else f"a `{EVENT}`"
    plan.note(node, plan.found(node, *FRAMED), f"yields {what} in place of a frame written by hand")


def _annotate(plan: Plan, function: cst.FunctionDef, event: str) -> None:
    if function.returns is None:
        return
    for name in plan.module.find(cst.Name, within=function.returns):
        if name.value in {"str", "bytes"} and name.value != event:
            plan.replace(name, cst.Name(event))
            return
