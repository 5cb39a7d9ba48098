"""A `StreamingResponse` of the module's own that only says its content type: it gets another base."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.fixing.responses import MOVED, RESPONSE
from unbroken.diagnose.source.streams import ANY_CONTENT, EVENT_STREAM, Kind, Stream

__all__ = ["base_on_ours"]

HOME: Final = "unbroken.compat.starlette"
"""Its response takes text for frames, so whoever makes one of the subclass may go on as before."""


def base_on_ours(plan: Plan, found: Iterable[Stream]) -> list[Stream]:
    """Base such classes on this package's response, and return the streams that are answered with one of them."""
    answered: dict[Stream, cst.ClassDef] = {}
    for stream in found:
        kind = plan.module.value(stream.at.func) if isinstance(stream.at, cst.Call) else None
        if stream.kind is Kind.STARLETTE and isinstance(kind, cst.ClassDef) and _says_only_its_type(plan, kind):
            answered[stream] = kind
    for kind in dict.fromkeys(answered.values()):
        _rebase(plan, kind)
    return list(answered)


def _says_only_its_type(plan: Plan, kind: cst.ClassDef) -> bool:
    statements = [
        node for line in kind.body.body for node in (line.body if isinstance(line, cst.SimpleStatementLine) else [line])
    ]
    return (
        len(kind.bases) == 1
        and not plan.inspected
        and plan.module.name(kind.bases[0].value) in ANY_CONTENT
        and plan.allows(kind, *MOVED)
        and all(_is_type(plan, node) or _is_docstring(node) or isinstance(node, cst.Pass) for node in statements)
    )


def _is_type(plan: Plan, node: cst.CSTNode) -> bool:
    value = node.value if isinstance(node, cst.Assign | cst.AnnAssign) else None
    return value is not None and (plan.module.text_of(value) or "").startswith(EVENT_STREAM)


def _is_docstring(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString)


def _rebase(plan: Plan, kind: cst.ClassDef) -> None:
    base = kind.bases[0].value
    plan.replace(base, cst.Name(plan.known_as(HOME, RESPONSE, f"Preframed{RESPONSE}")))
    plan.note(kind, plan.found(kind, *MOVED), f"`{kind.name.value}` is a `{HOME}.{RESPONSE}` from now on")
    module, _, symbol = (plan.module.name(base) or "").rpartition(".")
    plan.spare(module, symbol, base.value if isinstance(base, cst.Name) and base.value != symbol else None)
