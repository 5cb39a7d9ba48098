"""Values to JSON: what has a form, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from unbroken.errors import EncodeError
from unbroken.wire import ServerSentEvent, encode, encode_item
from unbroken.wire.json_data import to_json

pytestmark = pytest.mark.core


class Colour(Enum):
    RED = "red"
    PAIR = (1, 2)


class Kind(StrEnum):
    TICK = "tick"


class Level(IntEnum):
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    at: datetime | None = None


class Pair(NamedTuple):
    a: int
    b: int


MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
NUMBER = UUID("12345678-1234-5678-1234-567812345678")

FORMS = [
    ({"a": [1, 2.5, True, None]}, '{"a":[1,2.5,true,null]}'),
    ("é\u2028😀\n\r\0", '"é\u2028😀\\n\\r\\u0000"'),
    ((1, (2,)), "[1,[2]]"),
    (Pair(1, 2), "[1,2]"),
    ({7}, "[7]"),
    (frozenset({7}), "[7]"),
    (Colour.RED, '"red"'),
    (Colour.PAIR, "[1,2]"),
    (Kind.TICK, '"tick"'),
    (Level.HIGH, "3"),
    (MOMENT, '"2030-01-02T03:04:05+00:00"'),
    (date(2030, 1, 2), '"2030-01-02"'),
    (time(3, 4, 5), '"03:04:05"'),
    (NUMBER, '"12345678-1234-5678-1234-567812345678"'),
    (Decimal("0.10"), '"0.10"'),
    (Point(1), '{"x":1,"at":null}'),
    ({Kind.TICK: 1, 2: 3}, '{"tick":1,"2":3}'),
]


@pytest.mark.parametrize(("value", "expected"), FORMS)
def test_forms(value: object, expected: str) -> None:
    """Each type has one JSON form: compact, on one line, not escaped beyond need."""
    assert to_json(value) == expected


@pytest.mark.parametrize(("value", "expected"), FORMS)
def test_forms_inside_others(value: object, expected: str) -> None:
    """The form is the same at any depth."""
    assert to_json({"a": [Point(1), {"b": value}]}) == f'{{"a":[{{"x":1,"at":null}},{{"b":{expected}}}]}}'


def test_a_dataclass_is_read_deeply() -> None:
    """What a dataclass holds is converted too."""
    assert to_json(Point(1, MOMENT)) == '{"x":1,"at":"2030-01-02T03:04:05+00:00"}'


class Plain:
    def __repr__(self) -> str:
        return "a plain thing"


class Eager:
    """Says yes to whatever it is asked for, as a mock or a proxy does."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: {"name": name}


def circle() -> list[object]:
    """Return a list that holds itself."""
    inside: list[object] = []
    inside.append(inside)
    return inside


def abyss() -> list[object]:
    """Return lists in lists, deeper than any stack."""
    top: list[object] = []
    for _ in range(100_000):
        top = [top]
    return top


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Plain(), "a plain thing of type .*Plain, which has no JSON form"),
        (Point, "of type builtins.type, which has no JSON form"),
        (Eager(), "Eager, which has no JSON form"),
        (b"bytes", "of type builtins.bytes, which has no JSON form"),
        (object, "has no JSON form"),
        (1j, "of type builtins.complex, which has no JSON form"),
        (iter("ab"), "has no JSON form"),
        (float("nan"), "has no JSON form: .*not JSON compliant"),
        (float("inf"), "has no JSON form: .*not JSON compliant"),
        (float("-inf"), "has no JSON form: .*not JSON compliant"),
        (10**5000, "has no JSON form: .*digits"),
        (circle(), "data of type list has no JSON form: Circular"),
        ({(1, 2): 3}, "data of type dict has no JSON form: keys must be"),
        ({NUMBER: 3}, "data of type dict has no JSON form: keys must be"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_refused(value: object, reason: str) -> None:
    """A value without a JSON form is an EncodeError that names its type, alone and inside others."""
    with pytest.raises(EncodeError, match=reason):
        encode(ServerSentEvent({"value": value} if isinstance(value, bytes) else value))
    with pytest.raises(EncodeError, match="no JSON form"):
        to_json([value])


def test_depth_without_end_is_refused() -> None:
    """Nesting beyond what Python can follow is an EncodeError, not a RecursionError."""
    with pytest.raises(EncodeError, match="data of type list has no JSON form"):
        encode_item(abyss())


@pytest.mark.parametrize("wrap", [lambda event: [event], lambda event: ServerSentEvent(event)], ids=["list", "data"])
def test_an_event_is_no_data(wrap: Any) -> None:
    """An event inside another's data would arrive as JSON of its fields, so it is refused."""
    with pytest.raises(EncodeError, match=r"unbroken\.wire\.event\.ServerSentEvent stands where"):
        encode_item(wrap(ServerSentEvent("a")))


def test_another_librarys_event_is_no_data() -> None:
    """Somebody else's ServerSentEvent, imported by mistake, is named instead of sent as JSON."""
    foreign = type("ServerSentEvent", (), {"__module__": "elsewhere", "model_dump": lambda *_, **__: {}})
    with pytest.raises(EncodeError, match=r"elsewhere\.ServerSentEvent stands where"):
        encode_item(foreign())


def test_a_pydantic_model() -> None:
    """A model of the installed pydantic, whichever it is, goes by its aliases, also inside other values."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        when: datetime = pydantic.Field(MOMENT, alias="at")
        inner: Any = None

    value = json.loads(to_json([Model(inner={"deep": Model()})]))
    assert [*value[0]] == ["at", "inner"]
    assert datetime.fromisoformat(value[0]["inner"]["deep"]["at"]) == MOMENT


def test_a_pydantic_1_model() -> None:
    """A model of pydantic 1 keeps its own encoders."""
    if sys.version_info >= (3, 14):
        pytest.skip("pydantic 1 does not run on Python 3.14 and later")
    v1 = pytest.importorskip("pydantic.v1")

    class Model(v1.BaseModel):  # type: ignore[misc, name-defined]
        when: datetime = v1.Field(MOMENT, alias="at")

        class Config:
            json_encoders = {datetime: lambda moment: moment.year}  # noqa: RUF012

    assert to_json({"model": Model()}) == '{"model":{"at":2030}}'


def test_a_model_that_cannot_be_dumped_is_refused() -> None:
    """A model that holds what has no JSON form is an EncodeError too."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        inner: Any

    with pytest.raises(EncodeError, match="no JSON form"):
        encode_item(Model(inner=Plain()))
