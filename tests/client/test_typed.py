"""Events as values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import requires
from typing import Any

import pytest
from pydantic import BaseModel

from unbroken.client import Gap
from unbroken.client.typed import parser_of
from unbroken.errors import ConfigurationError, EventDataError, MissingExtraError
from unbroken.wire import DecodedEvent


class Tick(BaseModel):
    price: float


@dataclass
class Pair:
    a: int
    b: int


def event(data: str, event_type: str = "message") -> DecodedEvent:
    """Return an event."""
    return DecodedEvent(event_type, data, "7")


def test_without_models_it_is_json() -> None:
    """Plain data, whatever the type."""
    parse = parser_of(None, None)
    assert [parse(event("[1]")), parse(event('"x"', "a"))] == [[1], "x"]


def test_a_model_for_all_and_models_by_type() -> None:
    """The model of the event's type counts, then the one for all; anything that pydantic knows is one."""
    parse = parser_of(Tick, {"pair": Pair, "numbers": list[int]})
    assert parse(event('{"price": 1}')) == Tick(price=1)
    assert parse(event('{"a": 1, "b": 2}', "pair")) == Pair(1, 2)
    assert parse(event("[1, 2]", "numbers")) == [1, 2]
    assert parser_of(None, {"tick": Tick})(event("{}")) == {}


@pytest.mark.parametrize(
    ("data", "models"),
    [("{", None), ("NaN!", None), ('{"price": "much"}', {"message": Tick}), ("", {"message": Tick})],
    ids=["json", "text", "form", "empty"],
)
def test_data_of_another_form_is_told(data: str, models: dict[str, Any] | None) -> None:
    """The error has the event, its type, and what was wrong."""
    wrong = event(data)
    with pytest.raises(EventDataError, match="message") as raised:
        parser_of(None, models)(wrong)
    assert raised.value.event is wrong


def test_a_long_complaint_is_cut() -> None:
    """An error's text has a bound, whatever the data and the model."""
    with pytest.raises(EventDataError) as raised:
        parser_of(list[int], None)(event("[" + ",".join(['"x"'] * 10000) + "]"))
    assert len(str(raised.value)) < 1500


def test_a_gap_is_not_parsed() -> None:
    """It comes as it is."""
    gap = Gap("stream-gap", "{}", "", "trimmed", "t", None, None, 1)
    assert parser_of(Tick, None)(gap) is gap


@pytest.mark.parametrize("model", ["Undefined", object(), 5])
def test_what_is_no_model_is_refused(model: Any) -> None:
    """At once, and not at the first event."""
    with pytest.raises(ConfigurationError):
        parser_of(model, None)


def test_without_pydantic_an_extra_that_has_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the error says to install brings pydantic; plain JSON needs none."""
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert parser_of(None, None)(event("1")) == 1
    with pytest.raises(MissingExtraError) as raised:
        parser_of(Tick, None)
    brought = [it for it in requires("unbroken") or () if f"extra == '{raised.value.extra}'" in it.replace('"', "'")]
    assert [it for it in brought if it.startswith("pydantic")]
