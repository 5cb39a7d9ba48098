"""The page of runs has every argument with its default, every status, and every event."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.docs.test_reference import REFERENCE
from unbroken.runs import Runs, RunStatus
from unbroken.runs.events import END, SNAPSHOT, START

PAGE = (REFERENCE / "runs.md").read_text()


def section(heading: str) -> str:
    """Return a part of the page, from its heading to the next."""
    found = re.search(rf"^## [^\n]*{re.escape(heading)}.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[0]


@pytest.mark.parametrize(
    ("heading", "function"),
    [("Runs(hub", Runs), ("start(producer", Runs.start), ("response(id", Runs.response)],
    ids=["Runs", "start", "response"],
)
def test_every_argument_is_listed(heading: str, function: Callable[..., Any]) -> None:
    """In its table, with its default."""
    text = section(heading)
    for name, argument in inspect.signature(function).parameters.items():
        default = argument.default
        if default is not argument.empty:
            shown = f'`"{default}"`' if isinstance(default, str) else str(default)
            shown = {16 * 1024 * 1024: "16 MiB"}.get(default, shown)
            assert f"| `{name}` | {shown} |" in text, (name, default)


def test_every_status_and_every_event_is_listed() -> None:
    """With the words that stand on the wire."""
    for word in (*RunStatus, START, END, SNAPSHOT):
        assert f"| `{word}` |" in PAGE
