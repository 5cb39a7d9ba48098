"""Imports that a rewrite needs, and those that it leaves without a use.

libcst's own visitors for this take longer than all the rest of a fix, and put each import behind the last one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import libcst as cst
from libcst.helpers import get_full_name_for_node

__all__ = ["Import", "with_end_of", "with_imports"]

Import: TypeAlias = tuple[str, str | None, str | None]
"""A module, a name of it or None, and what it is called here if that is another name."""
Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement


def with_imports(tree: cst.Module, needed: Iterable[Import], spare: Iterable[Import]) -> cst.Module:
    """Return `tree` with the imports that are needed, and without those of `spare` that nothing uses.

    A new one stands in the place of one that goes, else behind the last of the module's head; a module of its own
    before the first. None stands below the first statement that uses it.
    """
    used = _used(tree)
    body, gone = _without(tree.body, {item for item in spare if _local(item) not in used})
    wanted = list(dict.fromkeys(needed))
    latest = _first_use(body, {_local(item) for item in wanted})
    body, names = _merged(body, [item for item in wanted if item[1] is not None], latest)
    modules = [_line(cst.Import([_alias(module, alias)])) for module, name, alias in wanted if name is None]
    free = {is_module: spot for is_module, spot in gone.items() if spot.place <= latest}
    spots: list[tuple[_Spot, list[cst.SimpleStatementLine]]] = [
        (free.get(False) or _Spot(_after_imports(body[:latest])), list(_statements(names))),
        (free.get(True) or _first(body, latest), modules),
    ]
    # The later place first, so that the earlier one stays where it is.
    for spot, new in sorted(spots, key=lambda item: -item[0].place):
        body = _inserted(body, spot, new)
    return tree.with_changes(body=body)


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in a module's body for a new line."""

    place: int
    above: Sequence[cst.EmptyLine] = ()
    """The empty lines and comments before it."""
    below: Sequence[cst.EmptyLine] | None = None
    """Those before the line that follows it then; None for what that has."""


def _first_use(body: Sequence[Statement], names: set[str]) -> int:
    """Return the place of the first statement that has one of `names`; imports have none."""
    return next((place for place, line in enumerate(body) if names & _used(line)), len(body))


def _first(body: Sequence[Statement], latest: int) -> _Spot:
    """Return the place before the first import."""
    head = body[:latest]
    place = next((at for at, line in enumerate(head) if _imports(line) and not _is_future(line)), _after_imports(head))
    if place == len(body) or not _imports(body[place]):
        return _Spot(place)
    below = () if _is_standard(body[place]) else (cst.EmptyLine(indent=False),)
    return _Spot(place, body[place].leading_lines, below)


def _inserted(body: list[Statement], spot: _Spot, new: Sequence[cst.SimpleStatementLine]) -> list[Statement]:
    before, after = body[: spot.place], body[spot.place :]
    if not new:
        if spot.above and spot.below is None and after and not after[0].leading_lines:
            after[0] = after[0].with_changes(leading_lines=spot.above)
        return [*before, *after]
    if spot.below is not None:
        after[0] = after[0].with_changes(leading_lines=spot.below)
    return [*before, new[0].with_changes(leading_lines=spot.above), *new[1:], *after]


def _is_standard(line: Statement) -> bool:
    """Say whether `line` imports from the standard library, so that another such import joins it."""
    part = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
    name = part.names[0].evaluated_name if isinstance(part, cst.Import) else None
    source = _source(part) if isinstance(part, cst.ImportFrom) else name
    return (source or "").partition(".")[0] in sys.stdlib_module_names


def _local(item: Import) -> str:
    module, name, alias = item
    return alias or name or module.partition(".")[0]


def _used(tree: cst.CSTNode) -> set[str]:
    """Return the names that stand in `tree`, other than in its imports; and its strings, as `__all__` has them."""
    found: set[str] = set()
    stack: list[cst.CSTNode] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, cst.Name):
            found.add(node.value)
        elif isinstance(node, cst.SimpleString):
            found.add(node.raw_value)
        elif isinstance(node, cst.Attribute | cst.Arg):
            # What follows the dot, or stands before the `=`, names nothing that an import brings.
            stack.append(node.value)
        elif not isinstance(node, cst.Import | cst.ImportFrom):
            stack.extend(node.children)
    return found


def _imports(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and any(
        isinstance(part, cst.Import | cst.ImportFrom) for part in line.body
    )


def _is_future(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and any(
        isinstance(part, cst.ImportFrom) and _source(part) == "__future__" for part in line.body
    )


def _after_imports(body: Sequence[Statement]) -> int:
    """Return the place behind the last import of the module's head; without one, behind the docstring.

    The head ends with the first definition. What is imported below that is there for a reason of its own.
    """
    places = [place + 1 for place, line in enumerate(body) if _imports(line)]
    head = next(
        (place for place, line in enumerate(body) if isinstance(line, cst.FunctionDef | cst.ClassDef)), len(body)
    )
    found = [place for place in places if place <= head] or places
    is_documented = bool(body) and isinstance(body[0], cst.SimpleStatementLine) and _is_text(body[0].body[0])
    return found[-1] if found else int(is_documented)


def _is_text(part: cst.CSTNode) -> bool:
    return isinstance(part, cst.Expr) and isinstance(part.value, cst.SimpleString)


def _source(statement: cst.ImportFrom) -> str | None:
    return get_full_name_for_node(statement.module) if statement.module and not statement.relative else None


def _without(body: Sequence[Statement], unused: set[Import]) -> tuple[list[Statement], dict[bool, _Spot]]:
    """Return `body` without what is unused, and where a line is gone: False for `from … import`, True for `import`."""
    kept: list[Statement] = []
    gone: dict[bool, _Spot] = {}
    for line in body:
        left = _left_of(line, unused) if isinstance(line, cst.SimpleStatementLine) and _imports(line) else line
        if left is not None:
            kept.append(left)
        else:
            is_module = isinstance(line.body, Sequence) and isinstance(line.body[0], cst.Import)
            gone.setdefault(is_module, _Spot(len(kept), line.leading_lines))
    return kept, gone


def _left_of(line: cst.SimpleStatementLine, unused: set[Import]) -> cst.SimpleStatementLine | None:
    parts = [left for part in line.body if (left := _left(part, unused)) is not None]
    if parts == list(line.body):
        return line
    return line.with_changes(body=[*parts[:-1], _last(parts[-1])]) if parts else None


def _last(part: cst.BaseSmallStatement) -> cst.BaseSmallStatement:
    return part.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)


def _left(part: cst.BaseSmallStatement, unused: set[Import]) -> cst.BaseSmallStatement | None:
    if not isinstance(part, cst.Import | cst.ImportFrom) or isinstance(part.names, cst.ImportStar):
        return part
    source = _source(part) if isinstance(part, cst.ImportFrom) else None
    aliases = [alias for alias in part.names if _item(alias, source) not in unused]
    if len(aliases) in {0, len(part.names)}:
        return part if aliases else None
    return part.with_changes(names=with_end_of(part.names, aliases))


def with_end_of(names: Sequence[cst.ImportAlias], kept: Sequence[cst.ImportAlias]) -> list[cst.ImportAlias]:
    """Return those of `names` that are kept, the last without the comma that it needs no more."""
    comma, end = kept[-1].comma, names[-1].comma
    if isinstance(comma, cst.Comma) and isinstance(comma.whitespace_after, cst.ParenthesizedWhitespace):
        # One name a line: the comment behind this one stays, and the bracket stands where it stood.
        after = end.whitespace_after if isinstance(end, cst.Comma) else comma.whitespace_after
        if isinstance(after, cst.ParenthesizedWhitespace):
            line = comma.whitespace_after.with_changes(indent=after.indent, last_line=after.last_line)
            end = comma.with_changes(whitespace_after=line)
    return [*kept[:-1], kept[-1].with_changes(comma=end)]


def _item(alias: cst.ImportAlias, source: str | None) -> Import:
    name = alias.evaluated_name
    return (name, None, alias.evaluated_alias) if source is None else (source, name, alias.evaluated_alias)


def _merged(body: list[Statement], names: list[Import], latest: int) -> tuple[list[Statement], list[Import]]:
    """Return `body` with `names` in the imports that are there for their modules, and those that found none.

    Only the imports above the place `latest` are looked at.
    """
    left = list(names)
    for place, line in enumerate(body[:latest]):
        parts = line.body if isinstance(line, cst.SimpleStatementLine) else ()
        for part in parts:
            source = _source(part) if isinstance(part, cst.ImportFrom) else None
            more = [item for item in left if item[0] == source]
            if more and isinstance(part, cst.ImportFrom) and not isinstance(part.names, cst.ImportStar):
                left = [item for item in left if item not in more]
                body[place] = line.with_deep_changes(part, names=[*_joined(part.names, more)])
    return body, left


def _joined(names: Sequence[cst.ImportAlias], more: Iterable[Import]) -> Iterator[cst.ImportAlias]:
    have = {(alias.evaluated_name, alias.evaluated_alias) for alias in names}
    added = [_alias(name or "", alias) for _, name, alias in more if (name, alias) not in have]
    comma = names[0].comma if len(names) > 1 else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    if not added:
        yield from names
        return
    yield from names[:-1]
    yield names[-1].with_changes(comma=comma)
    yield from (alias.with_changes(comma=comma) for alias in added[:-1])
    yield added[-1].with_changes(comma=names[-1].comma)


def _statements(names: Iterable[Import]) -> Iterator[cst.SimpleStatementLine]:
    for module, items in groupby(sorted(names, key=lambda item: (item[0], item[1] or "")), lambda item: item[0]):
        yield _line(cst.ImportFrom(_dotted(module), [_alias(name or "", alias) for _, name, alias in items]))


def _alias(name: str, alias: str | None) -> cst.ImportAlias:
    return cst.ImportAlias(_dotted(name), cst.AsName(cst.Name(alias)) if alias else None)


def _dotted(name: str) -> cst.Name | cst.Attribute:
    first, *others = name.split(".")
    found: cst.Name | cst.Attribute = cst.Name(first)
    for other in others:
        found = cst.Attribute(found, cst.Name(other))
    return found


def _line(statement: cst.BaseSmallStatement) -> cst.SimpleStatementLine:
    return cst.SimpleStatementLine([statement])
