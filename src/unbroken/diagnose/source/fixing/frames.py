"""A frame that is written by hand, read as the event that a client would make of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.templates import Hole, Template, joined, written

__all__ = ["Frame", "expression_of", "frame_of"]

ONE_LINE: Final = frozenset({"event", "id"})
NUMBER: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Frame:
    """The fields of one event; None for those that it has not."""

    data: Template | None = None
    event: Template | None = None
    id: Template | None = None
    retry: cst.BaseExpression | None = None
    comment: Template | None = None
    is_closed: bool = True
    """A blank line ends it. Without one no client dispatches it."""
    quote: str = '"'
    """The quote of the strings that it was written with."""

    @property
    def is_data_alone(self) -> bool:
        """Whether a plain `str` says the same."""
        return self.data is not None and (self.event, self.id, self.retry, self.comment) == (None,) * 4

    @property
    def texts(self) -> tuple[Template | None, ...]:
        """What its fields say."""
        return self.data, self.event, self.id, self.comment


def frame_of(template: Template) -> Frame | None:
    """Return the one event that `template` frames; None where it is none, or where a client might read another."""
    lines = _lines(template)
    if lines is None or lines[-1]:
        return None  # it ends within a line
    closed = len(lines) > 2 and not lines[-2]
    while lines and not lines[-1]:
        lines.pop()
    fields: dict[str, list[Template]] = {}
    for line in lines:
        field = _field(line)
        if field is None:
            return None
        fields.setdefault(field[0], []).append(field[1])
    return _frame(fields, closed=closed)


def _lines(template: Template) -> list[Template] | None:
    lines: list[list[str | Hole]] = [[]]
    for part in template:
        if isinstance(part, Hole):
            lines[-1].append(part)
            continue
        text = part.replace("\r\n", "\n")
        if "\r" in text or "\0" in text:
            return None
        first, *others = text.split("\n")
        lines[-1].append(first)
        lines += [[other] for other in others]
    return [joined(tuple(line)) for line in lines]


def _field(line: Template) -> tuple[str, Template] | None:
    if not line or not isinstance(line[0], str) or ":" not in line[0]:
        return None  # a blank line, so several events; or a name without a colon; or one that only a run tells
    name, _, rest = line[0].partition(":")
    value = joined((rest.removeprefix(" "), *line[1:]))
    first = value[0] if value else ""
    if not rest and isinstance(first, Hole) and not first.is_json:
        # WHATWG 9.2.6: one space after the colon is not part of the value. Here it may be the value's own first.
        return None
    return name, value


def _frame(fields: dict[str, list[Template]], *, closed: bool) -> Frame | None:
    if not fields or not fields.keys() <= {"", "data", "event", "id", "retry"}:
        return None
    if any(len(values) > 1 for name, values in fields.items() if name in {*ONE_LINE, "retry"}):
        return None
    retry = _retry(fields.get("retry"))
    if "retry" in fields and retry is None:
        return None
    return Frame(
        data=_together(fields.get("data")),
        event=_together(fields.get("event")),
        id=_together(fields.get("id")),
        retry=retry,
        comment=_together(fields.get("")),
        is_closed=closed,
    )


def _together(values: list[Template] | None) -> Template | None:
    """Return the lines of one field as one text: WHATWG 9.2.6 joins them by a line feed."""
    if values is None:
        return None
    parts: list[str | Hole] = []
    for number, value in enumerate(values):
        parts += ["\n"] * (number > 0) + list(value)
    return joined(tuple(parts))


def _retry(values: list[Template] | None) -> cst.BaseExpression | None:
    if not values or len(values[0]) != 1:
        return None
    value = values[0][0]
    if isinstance(value, Hole):
        return value.expression if value.is_int else None
    return cst.Integer(str(int(value))) if NUMBER.fullmatch(value) else None


def expression_of(
    frame: Frame, event: str | None, code: Callable[[cst.CSTNode], str], data: str | None = None
) -> cst.BaseExpression | None:
    """Return the expression that makes `frame`'s event; None where one of its texts cannot be written.

    Args:
        frame: What a client is to read.
        event: The name by which this module knows `ServerSentEvent`; None to write the data alone.
        code: Returns the source of a node.
        data: The keyword of the data; None for the first argument.
    """
    if event is None:
        return None if frame.data is None else written(frame.data, code, frame.quote)
    arguments: list[cst.Arg] = []
    for name in ("data", "event", "id", "comment"):
        template: Template | None = getattr(frame, name)
        text = None if template is None else written(template, code, frame.quote)
        if template is not None and text is None:
            return None
        if text is not None:
            arguments.append(_argument(data if name == "data" else name, text))
    if frame.retry is not None:
        arguments.append(_argument("retry", frame.retry))
    return cst.Call(cst.Name(event), arguments)


def _argument(keyword: str | None, value: cst.BaseExpression) -> cst.Arg:
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(
        value, keyword=cst.Name(keyword) if keyword else None, equal=tight if keyword else cst.MaybeSentinel.DEFAULT
    )
