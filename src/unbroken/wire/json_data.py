"""JSON for an event's data: one line, standard, and the same bytes whatever is installed."""

from __future__ import annotations

import json
import reprlib
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from uuid import UUID

from unbroken.errors import EncodeError

__all__ = ["to_json"]


def to_json(value: object) -> str:
    """Return `value` as compact JSON on one line.

    Beyond JSON's own types it takes, at any depth: pydantic models (by alias),
    dataclasses, `Enum` (its value), `datetime`, `date` and `time` (ISO 8601),
    `UUID` and `Decimal` (as strings, so that no digit is lost), sets and tuples.

    Raises:
        EncodeError: a type without a JSON form, a key that is not a string or
            a number, NaN or an infinity, a circle, or nesting that is too deep.
    """
    try:
        return _ENCODER.encode(value)
    except EncodeError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(
            f"data of type {type(value).__name__} has no JSON form: {error}; "
            "pass JSON's own types, or a str that is encoded already"
        ) from error


def _plain(value: object) -> object:
    """Return what stands for `value` in JSON; the encoder calls this for each type it does not know."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return list(value)
    return _from_model(value)


def _from_model(value: object) -> object:
    # Asked of the type: a class is not its instance, and a proxy's __getattr__ says yes to everything.
    kind = type(value)
    if kind.__name__ == "ServerSentEvent":
        # Ours, FastAPI's or sse-starlette's: as JSON it would arrive as the data of a nameless event.
        raise EncodeError(
            f"{kind.__module__}.ServerSentEvent stands where an event's data belongs; "
            "yield unbroken.ServerSentEvent, by itself"
        )
    if hasattr(kind, "model_dump"):
        return kind.model_dump(value, mode="json", by_alias=True)
    if hasattr(kind, "__fields__") and hasattr(kind, "json"):
        # pydantic 1: only its own .json() knows the model's json_encoders.
        return json.loads(kind.json(value, by_alias=True))
    if is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in fields(kind)}
    raise EncodeError(
        f"data holds {reprlib.repr(value)} of type {kind.__module__}.{kind.__qualname__}, which has no JSON form here; "
        "pass a str, JSON's own types, a dataclass or a pydantic model"
    )


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
