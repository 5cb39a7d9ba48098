"""Headers that an event stream's response sets itself, and those that it must not have."""

from __future__ import annotations

from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing import layout
from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import Stream

__all__ = ["drop_hop_by_hop", "is_encoded", "remaining"]

CODE: Final = "SSE013"
HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})
"""RFC 9113, 8.2.2: on HTTP/2 they make the response malformed."""
UNCACHED: Final = frozenset({"no-cache", "no-store", "no-transform", "must-revalidate", "max-age=0", "private"})
"""`no-store, no-transform`, which the response says, covers every one of these."""


def drop_hop_by_hop(plan: Plan, stream: Stream) -> None:
    """Take the headers of one connection out of a stream's own, wherever its function sets them."""
    headers = stream.options.get("headers")
    given = None if headers is None else plan.module.value(headers)
    if isinstance(given, cst.Dict) and isinstance(stream.at, cst.Call):
        _drop_elements(plan, given, stream.at)
    if stream.endpoint is not None:
        for statement in plan.module.find(cst.SimpleStatementLine, within=stream.endpoint.body, own=True):
            if _sets_hop_by_hop(plan.module, statement) and plan.allows(statement, CODE):
                plan.replace(statement, cst.RemovalSentinel.REMOVE)
                plan.note(statement, CODE, "no longer sets a header that HTTP/2 forbids")


def _sets_hop_by_hop(module: SourceModule, statement: cst.SimpleStatementLine) -> bool:
    """Say whether it is `response.headers["Connection"] = …` and nothing else."""
    assigned = statement.body[0] if len(statement.body) == 1 else None
    if not isinstance(assigned, cst.Assign) or len(assigned.targets) != 1:
        return False
    target = assigned.targets[0].target
    if not (isinstance(target, cst.Subscript) and isinstance(target.value, cst.Attribute) and len(target.slice) == 1):
        return False
    index = target.slice[0].slice
    key = module.text_of(index.value) if isinstance(index, cst.Index) else None
    return target.value.attr.value == "headers" and (key or "").lower() in HOP_BY_HOP


def _drop_elements(plan: Plan, given: cst.Dict, call: cst.Call) -> None:
    found = [e for e in given.elements if _name(plan.module, e) in HOP_BY_HOP and plan.allows(e, CODE)]
    if not found:
        return
    for element in found:
        plan.note(element, CODE, f"took the header `{_name(plan.module, element)}` away: HTTP/2 forbids it")
    kept = [element for element in given.elements if element not in found]
    if kept or not isinstance(plan.module.parent(given), cst.Arg):
        plan.replace(given, layout.elements(given, kept))
    else:
        plan.edit(call, _without_headers)


def _without_headers(call: cst.Call) -> cst.Call:
    kept = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != "headers"]
    return call.with_changes(args=layout.arguments(call, kept) if kept else [])


def remaining(plan: Plan, headers: cst.BaseExpression) -> cst.BaseExpression | None:
    """Return `headers` without those that the response sets itself or must not have; None if nothing remains."""
    if not isinstance(headers, cst.Dict):
        return None if _is_covered(plan, headers) else headers
    kept = [element for element in headers.elements if not _is_set_anyway(plan, element)]
    return layout.elements(headers, kept) if kept else None


def is_encoded(module: SourceModule, headers: cst.BaseExpression | None) -> bool:
    """Say whether these headers tell of a compressed body."""
    given = None if headers is None else module.value(headers)
    found = given.elements if isinstance(given, cst.Dict) else ()
    return _is_encoded_later(module, headers) or any(
        _name(module, element) == "content-encoding"
        and isinstance(element, cst.DictElement)
        and (module.text_of(element.value) or "").lower() not in {"identity", "none", ""}
        for element in found
    )


def _is_encoded_later(module: SourceModule, headers: cst.BaseExpression | None) -> bool:
    """Say whether the function around the name `headers` may put an encoding into what it names."""
    function = None if not isinstance(headers, cst.Name) else module.function_around(headers)
    texts = () if function is None else module.find(cst.SimpleString, within=function.body)
    return any(
        (module.text_of(text) or "").lower() == "content-encoding"
        and isinstance(module.parent(text), cst.Index | cst.Arg | cst.DictElement)
        for text in texts
    )


def _is_covered(plan: Plan, headers: cst.BaseExpression) -> bool:
    given = plan.module.value(headers)
    return (
        isinstance(given, cst.Dict)
        and all(_is_set_anyway(plan, element) for element in given.elements)
        and isinstance(headers, cst.Name)
        and _is_only_read(plan, headers, given)
    )


def _is_only_read(plan: Plan, headers: cst.Name, given: cst.Dict) -> bool:
    """Say whether nothing can have put more into the dict `given` since: neither this module nor another."""
    module = plan.module
    if module.function_around(given) is None and headers.value in plan.shared:
        return False
    named = [name for name in module.find(cst.Name) if name.value == headers.value]
    return all(_is_reading(module, name, given) for name in named)


def _is_reading(module: SourceModule, name: cst.Name, given: cst.Dict) -> bool:
    """Say whether `name` is none of the dict, or is given it, or hands it to somebody who only reads headers."""
    parent = module.parent(name)
    if isinstance(parent, cst.Attribute) and parent.attr is name:
        return True
    if isinstance(parent, cst.AssignTarget | cst.AnnAssign) or module.assigned(name) not in ([given], []):
        return True
    if isinstance(parent, cst.Arg):
        return parent.keyword is not None and parent.keyword.value == "headers" and not parent.star
    return isinstance(parent, cst.StarredDictElement)


def _name(module: SourceModule, element: cst.BaseDictElement) -> str:
    return (module.text_of(element.key) or "").lower() if isinstance(element, cst.DictElement) else ""


def _is_set_anyway(plan: Plan, element: cst.BaseDictElement) -> bool:
    name = _name(plan.module, element)
    value = (plan.module.text_of(element.value) or "").lower()
    if name == "cache-control":
        return {part.strip() for part in value.split(",")} <= UNCACHED
    if name == "content-type":
        return value.replace(" ", "") in {"text/event-stream", "text/event-stream;charset=utf-8"}
    if name in HOP_BY_HOP:
        return plan.allows(element, CODE)
    return name == "x-accel-buffering" and value == "no"
