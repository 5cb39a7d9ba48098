"""Imports: of names that do not exist, and of the libraries that this package stands in for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

from unbroken.diagnose.source.fixing.importing import with_end_of
from unbroken.diagnose.source.fixing.outputs import drafts
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.fixing.responses import RESPONSE, write_events
from unbroken.diagnose.source.fixing.templates import template_of
from unbroken.diagnose.source.rules.imports import NOT_THERE
from unbroken.diagnose.source.streams import FIELDS, Stream

__all__ = ["import_ours", "moved_libraries"]

EVENT_FIELDS: Final = frozenset({"data", "event", "id", "retry", "comment"})
_EVENT: Final = frozenset({"JSONServerSentEvent", "ServerSentEvent", "ensure_bytes"})
_SSE: Final = frozenset({
    "AppStatus", "AsyncContentStream", "Content", "ContentStream", "EventSourceResponse", "SendTimeoutError",
    "ServerSentEvent", "SyncContentStream", "ensure_bytes",
})  # fmt: skip
_FASTAPI: Final = frozenset({"KEEPALIVE_COMMENT", "EventSourceResponse", "ServerSentEvent", "format_sse_event"})
MOVES: Final = {
    "sse_starlette": ("unbroken.compat.sse_starlette", _EVENT | _SSE | {"sse", "event"}),
    "sse_starlette.sse": ("unbroken.compat.sse_starlette.sse", _SSE),
    "sse_starlette.event": ("unbroken.compat.sse_starlette.event", _EVENT),
    "fastapi.sse": ("unbroken.compat.fastapi", _FASTAPI),
    "fastapi.responses": ("unbroken.compat.fastapi", frozenset({"EventSourceResponse"})),
}
"""Modules, what stands for each here, and the names that are the same there."""
WHY: Final = ("SSE003", "SSE017", "SSE002", "SSE013")
"""The rules that such a move answers."""


def moved_libraries(plan: Plan) -> bool:
    """Import from this package what comes from the libraries that it stands in for; say whether any does."""
    before = len(plan.changes)
    for statement in plan.module.find(cst.ImportFrom):
        source = get_full_name_for_node(statement.module) if statement.module else None
        if source in MOVES and not statement.relative and plan.allows(statement, *WHY):
            _move(plan, statement, source or "")
    for module in plan.module.find(cst.Import):
        _move_module(plan, module)
    return len(plan.changes) > before


def _move(plan: Plan, statement: cst.ImportFrom, source: str) -> None:
    home, known = MOVES[source]
    if isinstance(statement.names, cst.ImportStar) or _is_tried(plan, statement):
        return
    going = [alias for alias in statement.names if alias.evaluated_name in known]
    if going:
        _import_from(plan, statement, going, home)
        plan.note(statement, None, f"imports from `{home}` in place of `{source}`")


def _is_tried(plan: Plan, node: cst.CSTNode) -> bool:
    """Say whether the import may fail by design: what stands in for it is then somebody's choice."""
    return any(isinstance(outer, cst.Try) for outer in plan.module.around(node))


def _import_from(plan: Plan, statement: cst.ImportFrom, going: list[cst.ImportAlias], home: str) -> None:
    """Have the names `going` imported from `home`, and the others from where they were."""
    if isinstance(statement.names, cst.ImportStar):
        return
    staying = [alias for alias in statement.names if alias not in going]
    if not staying and statement.module is not None:
        plan.replace(statement.module, cst.parse_expression(home))
        return
    kept = with_end_of(statement.names, staying)
    plan.edit(statement, lambda updated: updated.with_changes(names=kept))
    for alias in going:
        plan.need(home, alias.evaluated_name, alias.evaluated_alias)


def _move_module(plan: Plan, statement: cst.Import) -> None:
    for alias in statement.names:
        name = alias.evaluated_name
        if name not in {"sse_starlette", "sse_starlette.sse"} or not plan.allows(statement, *WHY):
            continue
        if _is_tried(plan, statement):
            continue
        # `import sse_starlette.sse` binds `sse_starlette`, and the stand-in has `sse` as an attribute, too.
        local = alias.evaluated_alias or "sse_starlette"
        home = "unbroken.compat.sse_starlette" if alias.asname is None else f"unbroken.compat.{name}"
        plan.edit(alias, partial(_renamed, home=home, local=local))
        plan.note(statement, None, f"imports `{home}` in place of `{name}`")


def _renamed(alias: cst.ImportAlias, *, home: str, local: str) -> cst.ImportAlias:
    name = cst.parse_expression(home)
    return alias.with_changes(name=name, asname=cst.AsName(cst.Name(local)))


def import_ours(plan: Plan, found: Iterable[Stream], shared: frozenset[str]) -> list[Stream]:
    """Import what does not exist from where it does, and return the streams that it is the response of."""
    served: list[Stream] = []
    for statement in plan.module.find(cst.ImportFrom):
        missing = _missing(plan, statement)
        if not missing or not plan.allows(statement, "SSE001"):
            continue
        names = {alias.evaluated_alias or alias.evaluated_name for alias in missing}
        theirs = [stream for stream in found if _response_name(stream) in names]
        home = _home(plan, theirs, shared)
        if home == "unbroken" and RESPONSE in names:
            plan.take(RESPONSE)
        _import_from(plan, statement, missing, home)
        plan.note(statement, "SSE001", f"imports `{RESPONSE}` from `{home}`")
        served += theirs
    return served


def _missing(plan: Plan, statement: cst.ImportFrom) -> list[cst.ImportAlias]:
    source = get_full_name_for_node(statement.module) if statement.module else ""
    if statement.relative or isinstance(statement.names, cst.ImportStar):
        return []
    return [alias for alias in statement.names if (source or "", alias.evaluated_name) in NOT_THERE]


def _response_name(stream: Stream) -> str | None:
    called = stream.at.func if isinstance(stream.at, cst.Call) else None
    return called.value if isinstance(called, cst.Name) else None


def _home(plan: Plan, found: list[Stream], shared: frozenset[str]) -> str:
    """Return the module whose response takes what these streams yield for what it was meant to be."""
    yielded = [value for stream in found for function in stream.reach for value in _yields(plan, function)]
    if any(isinstance(value, cst.Dict) and _is_event(plan, value) for value in yielded):
        return "unbroken.compat.sse_starlette"
    understood = drafts(plan.module, found, shared)
    if found and len(understood) == len(found):
        write_events(plan, understood.values(), "unbroken")
        return "unbroken"
    # The beginning is enough to tell wire text from data: whoever frames one event by hand frames them all.
    is_framed = any(text.startswith(FIELDS) for value in yielded for text in _texts(plan, value))
    return "unbroken.compat.starlette" if is_framed else "unbroken"


def _yields(plan: Plan, function: cst.FunctionDef) -> Iterable[cst.CSTNode]:
    for found in plan.module.find(cst.Yield, within=function.body, own=True):
        if isinstance(found.value, cst.BaseExpression):
            yield found.value


def _is_event(plan: Plan, value: cst.Dict) -> bool:
    keys = [plan.module.text_of(e.key) for e in value.elements if isinstance(e, cst.DictElement)]
    return bool(keys) and EVENT_FIELDS.issuperset(keys)


def _texts(plan: Plan, value: cst.CSTNode) -> Iterable[str]:
    parts = template_of(plan.module, value) or ()
    return [part for part in parts[:1] if isinstance(part, str)]
