"""SSE001: imports of names that do not exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject

__all__ = ["HOMES", "NOT_THERE", "RULES"]

NOT_THERE: Final = {
    ("starlette.responses", "EventSourceResponse"): "Starlette never had one",
    ("starlette.responses", "ServerSentEvent"): "Starlette never had one",
    ("starlette.sse", "EventSourceResponse"): "Starlette has no module of that name",
    ("starlette.sse", "ServerSentEvent"): "Starlette has no module of that name",
    ("fastapi", "EventSourceResponse"): "FastAPI has it in `fastapi.sse`, from 0.135 on",
}
"""What people import, and why it fails. `fastapi.responses` has it from FastAPI 0.135 on."""
HOMES: Final = "from unbroken import {name}"


def _imports(subject: Subject) -> Iterator[Problem]:
    for statement in subject.module.find(cst.ImportFrom):
        module = get_full_name_for_node(statement.module) if statement.module else None
        if statement.relative or isinstance(statement.names, cst.ImportStar):
            continue
        for alias in statement.names:
            why = NOT_THERE.get((module or "", alias.evaluated_name))
            if why is not None:
                name = alias.evaluated_name
                text = f"`{name}` cannot be imported from `{module}`: {why}. Write `{HOMES.format(name=name)}`"
                yield Problem(statement, text)


RULES: Final = (
    Rule(
        "SSE001",
        "import-does-not-exist",
        "import-does-not-exist",
        "Imports a name that its module never had",
        _imports,
        fixable=True,
        limits="Only the modules and names that people are known to confuse.",
    ),
)
