"""The client's page has every argument with its default, every field and every error."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from tests.docs.test_reference import REFERENCE
from unbroken import client, errors
from unbroken.client import (
    DEFAULT_IDLE_TIMEOUT,
    RETRY_STATUSES,
    DecodedEvent,
    EventSource,
    FileStore,
    Gap,
    MemoryStore,
    OutgoingRequest,
    ReaderStats,
    ReadyState,
    StateChange,
    SyncEventSource,
)

PAGE = (REFERENCE / "client.md").read_text()

MIB_16 = 16 * 1024 * 1024


def section(heading: str) -> str:
    """Return a part of the page, from its heading to the next of its level."""
    found = re.search(rf"^(##+) {re.escape(heading)}[^\n]*\n.*?(?=^##(?!#)|^\1 |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[0]


def listed(heading: str) -> list[str]:
    """Return the names that the rows of a section begin with."""
    return re.findall(r"^\| `(\w+)`", section(heading), re.MULTILINE)


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a function's arguments by their names."""
    return {name: each for name, each in inspect.signature(function).parameters.items() if name != "self"}


def as_written(default: object) -> str:
    """Return a default as the tables have it."""
    if default is inspect.Parameter.empty:
        return ""
    if default is RETRY_STATUSES:
        return "`RETRY_STATUSES`"
    return {MIB_16: "16 MiB"}.get(default, f'`"{default}"`' if isinstance(default, str) else str(default))  # type: ignore[call-overload, no-any-return]


def test_every_argument_is_listed_with_its_default() -> None:
    """Once, and no others are."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\|", section("EventSource(url"), re.MULTILINE)
    expected = {name: as_written(each.default) for name, each in parameters(EventSource).items()}
    assert len(rows) == len(expected)
    assert dict(rows) == expected


def test_both_clients_have_the_same_arguments() -> None:
    """One page says it for both."""
    assert parameters(SyncEventSource) == parameters(EventSource)
    assert parameters(SyncEventSource.json).keys() == parameters(EventSource.json).keys()


@pytest.mark.parametrize(
    "function", [EventSource.json, FileStore, MemoryStore], ids=["json", "FileStore", "MemoryStore"]
)
def test_the_smaller_signatures_are_listed(function: Any) -> None:
    """As they are written."""
    given = inspect.signature(function)
    shown = given.replace(
        parameters=[each.replace(annotation=each.empty) for each in parameters(function).values()],
        return_annotation=given.empty,
    )
    assert f"{function.__name__}{shown}" in PAGE


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("OutgoingRequest", [field.name for field in fields(OutgoingRequest)]),
        ("Gap", [field.name for field in fields(Gap)][len(fields(DecodedEvent)) :]),
        ("StateChange", [field.name for field in fields(StateChange)]),
        ("ReaderStats", [field.name for field in fields(ReaderStats)]),
    ],
    ids=["OutgoingRequest", "Gap", "StateChange", "ReaderStats"],
)
def test_every_field_is_listed(heading: str, known: list[str]) -> None:
    """In the order of the class; those of a `Gap` that other events do not have."""
    assert listed(heading) == known


@pytest.mark.parametrize("name", [name for name in dir(EventSource) if not name.startswith("_")])
def test_every_attribute_is_listed(name: str) -> None:
    """What is public of the client; `status`, `headers` and `url` are its instances'."""
    assert f"`{name}`" in section("Reading") or f"events.{name}(" in section("Reading")


def test_every_state_is_listed() -> None:
    """In their order."""
    assert ", ".join(f"`{state}`" for state in ReadyState) in section("Reading")


def test_every_error_is_listed() -> None:
    """With what to do; those of the stream also where it is said what ends it."""
    rows = re.findall(r"^\| ([^|]*) \|[^|]*\|[^|]+\|$", section("Errors"), re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    of_streams = {each.__name__ for each in errors.EventSourceError.__subclasses__()}
    assert explained >= of_streams | {"StreamGap", "EventDataError", "LineTooLong", "EventTooLarge"}
    assert all(hasattr(errors, name) or name == "TimeoutError" or name == "ValueError" for name in explained)
    raised = set(re.findall(r"`(\w+)`", section("What ends it")))
    assert of_streams - raised == {"ReconnectFailed"}


def test_the_figures_are_the_codes() -> None:
    """Those that have names."""
    statuses = ", ".join(str(status) for status in sorted(RETRY_STATUSES))
    assert f"tried again: {statuses}." in section("EventSource(url")
    assert f"else {DEFAULT_IDLE_TIMEOUT:g}." in section("EventSource(url")


def test_every_public_name_is_on_the_page() -> None:
    """In its first lines, where it can be copied from."""
    assert set(client.__all__) <= set(re.findall(r"\w+", PAGE[: PAGE.index("pip install")]))
