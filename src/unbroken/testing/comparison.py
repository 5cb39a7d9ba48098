"""Events that are expected beside events that came."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from unbroken.errors import ConfigurationError, EncodeError
from unbroken.wire import DecodedEvent, ServerSentEvent
from unbroken.wire.json_data import to_json

__all__ = ["Comparison", "ExpectedEvent"]

ExpectedEvent = (
    str | tuple[str, object] | tuple[str, object, str] | Mapping[str, object] | ServerSentEvent | DecodedEvent
)
"""What an event is to be; `expect_events` says how each of these is read."""

_FIELDS: Final = ("event", "data", "id")
_COLUMN: Final = 48
_SHOWN: Final = 2000


class Comparison:
    """Compares events one by one with those that are expected, and shows both.

    Raises:
        ConfigurationError: Something expected is no event.
    """

    def __init__(self, expected: Iterable[ExpectedEvent]) -> None:
        self._expected = [_fields_of(item) for item in expected]
        self.got: list[DecodedEvent] = []
        """The events that came."""

    @property
    def is_open(self) -> bool:
        """Whether another event is expected."""
        return len(self.got) < len(self._expected)

    def compare(self, event: DecodedEvent) -> None:
        """Take the event that came next.

        Raises:
            AssertionError: It is not as expected.
            ConfigurationError: It is no event.
        """
        __tracebackhide__ = True
        if not isinstance(event, DecodedEvent):
            raise ConfigurationError(
                f"the source gave {event!r}, and that is no event: give what gives events, not their data"
            )
        expected, got = self._expected[len(self.got)], _fields_of(event)
        self.got.append(event)
        differing = [name for name in expected if not _agree(name, expected[name], str(got[name]))]
        if differing:
            details = [line for name in differing for line in _difference(name, expected[name], got[name])]
            text = f"{self._place(len(self.got))} is not as expected: its {' and '.join(differing)}"
            raise AssertionError("\n".join([text, *details, self.table(len(self.got))]))

    def missing(self, why: str) -> str:
        """Return the text for an event that did not come."""
        return f"{self._place(len(self.got) + 1)} {why}\n{self.table(len(self.got) + 1)}"

    def table(self, mark: int = 0) -> str:
        """Return expected and got side by side, with a mark at the event of that number."""
        rows = [("", "expected", "got")] if self._expected else []
        rows += [
            (f"{'> ' if number == mark else ''}{number}", _column(expected), _column(got, like=expected))
            for number, (expected, got) in enumerate(self._rows(), 1)
        ]
        width = max((len(expected) for _, expected, _ in rows), default=0)
        return "\n".join(f"{number:>5}  {expected:<{width}}  {got}".rstrip() for number, expected, got in rows)

    def _rows(self) -> Iterator[tuple[Mapping[str, object] | None, Mapping[str, object] | None]]:
        return itertools.zip_longest(self._expected, map(_fields_of, self.got))

    def _place(self, number: int) -> str:
        return f"event {number} of {len(self._expected)}"


def _fields_of(item: ExpectedEvent) -> Mapping[str, object]:
    match item:
        case str():
            return {"event": "message", "data": item}
        case DecodedEvent():
            return {"event": item.event, "data": item.data, "id": item.last_event_id}
        case ServerSentEvent(data=data) if data is not None:
            fields = {"event": item.event or "message", "data": _as_received(data)}
            return fields | ({} if item.id is None else {"id": item.id})
        case tuple() if len(item) in (2, 3):
            return dict(zip(_FIELDS, item, strict=False))
        case Mapping() if item and set(item) <= set(_FIELDS):
            return item
    raise ConfigurationError(
        f"{item!r} is no event to expect: give the data of a plain one, (event, data), (event, data, id), "
        "a mapping with some of 'event', 'data', 'id', or a ServerSentEvent with data"
    )


def _as_received(data: object) -> object:
    # WHATWG 9.2.6: whatever ended the lines, a client puts LF between them.
    return data.replace("\r\n", "\n").replace("\r", "\n") if isinstance(data, str) else data


def _agree(name: str, expected: object, got: str) -> bool:
    if expected == got:
        return True
    if name != "data" or isinstance(expected, str):
        return False
    try:
        value = json.loads(got)
        return _same(expected, value) or _same(json.loads(to_json(expected)), value)
    except (ValueError, RecursionError):  # what came is no JSON, or what is expected has no form in it (EncodeError)
        return False


def _same(expected: object, got: object) -> bool:
    """Compare JSON as JSON: to Python `True` and 1 are equal."""
    match expected, got:
        case dict(), dict():
            return expected.keys() == got.keys() and all(_same(value, got[name]) for name, value in expected.items())
        case list(), list():
            return len(expected) == len(got) and all(map(_same, expected, got))
        case (bool(), int() | float()) | (int() | float(), bool()):
            return expected is got
    return bool(expected == got)


def _difference(name: str, expected: object, got: object) -> list[str]:
    shown = (_text(expected, like=expected), _text(got, like=expected))
    return [f"  {name}, {what}: {text[:_SHOWN]}" for what, text in zip(("expected", "got     "), shown, strict=True)]


def _column(fields: Mapping[str, object] | None, like: Mapping[str, object] | None = None) -> str:
    if fields is None:
        return "-"
    parts = [str(fields.get("event", "*"))]
    if "data" in fields:
        parts.append(_text(fields["data"], like=(like or fields).get("data", "")))
    if "id" in (like or fields):
        parts.append(f"id={fields['id']!r}")
    text = " ".join(parts)
    return text if len(text) <= _COLUMN else f"{text[: _COLUMN - 1]}…"


def _text(value: object, *, like: object) -> str:
    """Return a value as it is compared: a text in quotes, JSON as it is on the wire."""
    if isinstance(value, str):
        return repr(value) if isinstance(like, str) else value
    try:
        return to_json(value)
    except EncodeError:
        return repr(value)
