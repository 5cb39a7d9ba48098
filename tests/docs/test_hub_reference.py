"""The hub's page has every argument with its default, and every figure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from tests.docs.test_reference import REFERENCE
from unbroken import EventSourceResponse, Hub
from unbroken.hub import GapReason, HubStats

PAGE = (REFERENCE / "hub.md").read_text()


def section(heading: str) -> str:
    """Return a part of the page, from its heading to the next."""
    found = re.search(rf"^## [^\n]*{re.escape(heading)}.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[0]


def arguments(function: Callable[..., Any]) -> dict[str, object]:
    """Return the arguments that have a default."""
    given = inspect.signature(function).parameters.values()
    return {argument.name: argument.default for argument in given if argument.default is not argument.empty}


def as_written(default: object) -> str:
    """Return a default as the tables have it."""
    return f'`"{default}"`' if isinstance(default, str) else str(default)


@pytest.mark.parametrize(
    ("heading", "function"),
    [
        ("Hub(url", Hub),
        ("publish(topic", Hub.publish),
        ("publish_soon(topic", Hub.publish_soon),
        ("response(request", Hub.response),
        ("subscribe(", Hub.subscribe),
    ],
    ids=["Hub", "publish", "publish_soon", "response", "subscribe"],
)
def test_every_argument_is_listed(heading: str, function: Callable[..., Any]) -> None:
    """In its table with its default; those of `EventSourceResponse` by their names, and with its defaults."""
    known = arguments(EventSourceResponse)
    text = section(heading)
    for name, default in arguments(function).items():
        if function is Hub.response and known.get(name, ...) == default:
            assert f"`{name}`" in text
        elif name not in ("after", "backlog") or function is not Hub.subscribe:
            shown = {1024 * 1024: "1 MiB", b"": '`""`'}.get(default, as_written(default))
            assert f"| `{name}` | {shown} |" in text, (name, default)


def test_every_figure_is_listed() -> None:
    """In the order of `HubStats`."""
    listed = re.findall(r"^\| `(\w+)` \|", section("HubStats"), re.MULTILINE)
    assert listed == [field.name for field in fields(HubStats)]


def test_every_reason_of_a_gap_is_explained() -> None:
    """On the page of the concepts."""
    page = (REFERENCE.parent / "concepts" / "topics.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [str(reason) for reason in GapReason]
