"""Commas, line ends and comments of a list from which something goes: each that stays keeps its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import libcst as cst

__all__ = ["arguments", "elements"]

Comma: TypeAlias = cst.Comma | cst.MaybeSentinel
Space: TypeAlias = cst.BaseParenthesizableWhitespace
NOTHING = cst.SimpleWhitespace("")


def arguments(call: cst.Call, kept: Sequence[cst.Arg], added: cst.Arg | None = None) -> list[cst.Arg]:
    """Return the arguments `kept` of `call`, with `added` behind them.

    Args:
        call: As it stands in the source.
        kept: Some of its arguments, at least the first, in their order; perhaps with other values or names.
        added: Another.
    """
    end = call.args[-1]
    is_whole = kept[-1].comma is end.comma and kept[-1].whitespace_after_arg is end.whitespace_after_arg
    if is_whole and added is None:
        return list(kept)
    closing = _after(end.comma) if isinstance(end.comma, cst.Comma) else end.whitespace_after_arg
    if added is None:
        return [*kept[:-1], _last(kept[-1], end.comma, _closed(_after(kept[-1].comma), closing))]
    before = _between(call, closing) if is_whole else kept[-1].comma
    linked = kept[-1].with_changes(comma=before, whitespace_after_arg=NOTHING)
    return [*kept[:-1], linked, _last(added, end.comma, _uncommented(closing))]


def _last(argument: cst.Arg, comma: Comma, closing: Space) -> cst.Arg:
    if isinstance(comma, cst.Comma):
        return argument.with_changes(comma=comma.with_changes(whitespace_after=closing), whitespace_after_arg=NOTHING)
    return argument.with_changes(comma=comma, whitespace_after_arg=closing)


def _after(comma: Comma) -> Space:
    return comma.whitespace_after if isinstance(comma, cst.Comma) else NOTHING


def _closed(own: Space, closing: Space) -> Space:
    """Return the space before the bracket, with the comments of what stands last now, for what stood last."""
    if not isinstance(own, cst.ParenthesizedWhitespace):
        return _uncommented(closing)
    lines = [line for line in own.empty_lines if line.comment is not None]
    if isinstance(closing, cst.ParenthesizedWhitespace):
        return closing.with_changes(first_line=own.first_line, empty_lines=[*lines, *closing.empty_lines])
    return own if lines or own.first_line.comment is not None else closing


def _uncommented(space: Space) -> Space:
    if isinstance(space, cst.ParenthesizedWhitespace):
        return space.with_changes(first_line=cst.TrailingWhitespace(newline=space.first_line.newline))
    return space


def _between(call: cst.Call, closing: Space) -> cst.Comma:
    """Return the comma before one more argument, in the manner of the others; the last one's comment stays by it."""
    inner = [_after(argument.comma) for argument in call.args[:-1]]
    broken = [space for space in inner if isinstance(space, cst.ParenthesizedWhitespace)]
    first = call.whitespace_before_args
    lines = broken or ([first] if isinstance(first, cst.ParenthesizedWhitespace) else [])
    end = closing.first_line if isinstance(closing, cst.ParenthesizedWhitespace) else None
    is_noted = end is not None and end.comment is not None
    if not is_noted and (not lines or (inner and not broken)):
        return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    space = lines[0] if lines else closing
    newline = cst.TrailingWhitespace()
    return cst.Comma(
        whitespace_after=cst.ensure_type(space, cst.ParenthesizedWhitespace).with_changes(
            first_line=end or newline, empty_lines=[]
        )
    )


def elements(given: cst.Dict, kept: Sequence[cst.BaseDictElement]) -> cst.Dict:
    """Return `given` with those of its elements that are `kept`."""
    if not kept:
        return cst.Dict([])
    if kept[-1] is given.elements[-1]:
        return given.with_changes(elements=kept)
    end, own = given.elements[-1].comma, _after(kept[-1].comma)
    last = kept[-1].with_changes(comma=_tight(end))
    # libcst has the space behind the last comma before the brace, where it spans lines.
    closing = _closed(own, given.rbrace.whitespace_before if _after(end).empty else _after(end))
    brace = given.rbrace.with_changes(whitespace_before=closing)
    return given.with_changes(elements=[*kept[:-1], last], rbrace=brace)


def _tight(comma: Comma) -> Comma:
    return comma.with_changes(whitespace_after=NOTHING) if isinstance(comma, cst.Comma) else comma
