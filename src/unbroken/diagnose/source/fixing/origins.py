"""Where the text in a frame comes from: it may hold line breaks and fields of its own, and so frame by itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.templates import Hole, Template, is_json, template_of
from unbroken.diagnose.source.module import SourceModule

__all__ = ["Origins"]

FIELD: Final = re.compile(r"(?:\A|[\r\n])(?:data|event|id|retry):|[\r\n]:")
"""Also at the beginning: `"\\n" + "data: "` puts the line break before it elsewhere."""
BLANK: Final = re.compile(r"\n\r?\n|\r\r")
SAME_TEXT: Final = frozenset({
    "capitalize", "casefold", "center", "decode", "encode", "expandtabs", "format", "format_map", "join", "ljust",
    "lower", "replace", "rjust", "swapcase", "title", "translate", "upper", "zfill",
})  # fmt: skip
TAKES_AWAY: Final = frozenset({
    "count", "endswith", "find", "index", "lstrip", "removeprefix", "removesuffix", "rfind", "rindex", "rsplit",
    "rstrip", "split", "splitlines", "startswith", "strip",
})  # fmt: skip
"""Methods of `str` whose arguments never come to stand in their result."""
NUMBERS: Final = frozenset({"bool", "float", "id", "int", "isinstance", "len"})
BOUND: Final = {cst.For: "iter", cst.CompFor: "iter", cst.WithItem: "item", cst.Match: "subject"} | dict.fromkeys(
    (cst.Assign, cst.AugAssign, cst.AnnAssign, cst.NamedExpr), "value"
)
"""What gives a name its value, and where that stands in it."""


class Origins:
    """Follows text to the constants that it may be made of, through the names and functions of one module."""

    def __init__(self, module: SourceModule) -> None:
        self._module = module
        self._cleared: set[tuple[cst.CSTNode, bool]] = set()

    def frame(self, holes: Iterable[Template | None]) -> bool:
        """Say whether what stands in these texts may hold a field after a line break, or a blank line."""
        found = [part for template in holes for part in template or () if isinstance(part, Hole)]
        search = _Search(self._module, self._given, self._calls, self._cleared)
        if any(search.frames(hole.expression) for hole in found):
            return True
        self._cleared = search.seen  # what was looked at in vain need not be again
        return False

    @cached_property
    def _calls(self) -> Mapping[str, list[cst.Call]]:
        calls: dict[str, list[cst.Call]] = defaultdict(list)
        for call in self._module.find(cst.Call):
            calls[self._module.spelled(call)].append(call)
        return calls

    @cached_property
    def _given(self) -> Mapping[str, list[cst.CSTNode]]:
        """What is given to names other than by assigning: attributes, items, and what is put into a collection."""
        given: dict[str, list[cst.CSTNode]] = defaultdict(list)
        for node in self._module.find(cst.Assign, cst.AugAssign, cst.AnnAssign, cst.Expr, cst.Arg):
            for name, value in _gifts(node):
                given[name].append(value)
        return given


def _gifts(node: cst.CSTNode) -> Iterator[tuple[str, cst.CSTNode]]:
    if isinstance(node, cst.Arg) and node.keyword is not None:
        yield f".{node.keyword.value}", node.value
    elif isinstance(node, cst.Expr):
        call = node.value.expression if isinstance(node.value, cst.Await) else node.value
        if isinstance(call, cst.Call) and isinstance(call.func, cst.Attribute):
            yield from ((_word(call.func.value), arg.value) for arg in call.args)
    elif isinstance(node, cst.Assign | cst.AugAssign | cst.AnnAssign) and node.value is not None:
        targets = [target.target for target in node.targets] if isinstance(node, cst.Assign) else [node.target]
        for target in targets:
            is_name = isinstance(target, cst.Name)
            yield f".{_word(target)}" if is_name else _word(target), node.value
            if is_name and isinstance(node, cst.AugAssign):
                yield _word(target), node.value


def _word(target: cst.CSTNode) -> str:
    """Return the name that `target` ends in, its items left out: `d` of `d["a"]`, `.end` of `self.end`."""
    while isinstance(target, cst.Subscript):
        target = target.value
    if isinstance(target, cst.Attribute):
        return f".{target.attr.value}"
    return target.value if isinstance(target, cst.Name) else ""


class _Search:
    def __init__(
        self,
        module: SourceModule,
        given: Mapping[str, list[cst.CSTNode]],
        calls: Mapping[str, list[cst.Call]],
        cleared: set[tuple[cst.CSTNode, bool]],
    ) -> None:
        self._module = module
        self._given = given
        self._calls = calls
        self.seen = set(cleared)

    def frames(self, node: cst.CSTNode, *, is_whole: bool = True) -> bool:
        """Say whether `node` may; without `is_whole` its text may be cut up, so a blank line says nothing."""
        if (node, is_whole) in self.seen or is_json(self._module, node) or isinstance(node, cst.Comparison):
            return False
        self.seen.add((node, is_whole))
        template = template_of(self._module, node)
        if template is not None:
            return any(self._part(part, is_whole=is_whole) for part in template)
        return any(self.frames(origin, is_whole=whole) for origin, whole in self._origins(node, is_whole))

    def _part(self, part: str | Hole, *, is_whole: bool) -> bool:
        if isinstance(part, Hole):
            return self.frames(part.expression, is_whole=is_whole)
        return FIELD.search(part) is not None or (is_whole and BLANK.search(part) is not None)

    def _origins(self, node: cst.CSTNode, is_whole: bool) -> Iterator[tuple[cst.CSTNode, bool]]:
        if isinstance(node, cst.Call):
            yield from self._of_call(node, is_whole)
        elif isinstance(node, cst.Name):
            yield from ((value, is_whole) for value in self._of_name(node))
        elif isinstance(node, cst.Attribute):
            yield from ((value, is_whole) for value in self._given.get(f".{node.attr.value}", ()))
            yield node.value, False
        elif isinstance(node, cst.Subscript):
            yield node.value, is_whole
        elif isinstance(node, cst.IfExp):
            yield from ((node.body, is_whole), (node.orelse, is_whole))
        else:
            yield from ((child, is_whole) for child in node.children)

    def _of_call(self, call: cst.Call, is_whole: bool) -> Iterator[tuple[cst.CSTNode, bool]]:
        function = self._module.function(call.func)
        if function is not None:
            # Its arguments are followed from its parameters.
            yield from ((value, is_whole) for value in self._results(function))
        elif self._module.called(call) not in NUMBERS:
            method = call.func.attr.value if isinstance(call.func, cst.Attribute) else ""
            if isinstance(call.func, cst.Attribute):
                yield call.func.value, is_whole and method in SAME_TEXT
            # What another function makes of its arguments is not known; that one is a field was meant to be.
            args = () if method in TAKES_AWAY else call.args[method == "replace" :]
            yield from ((arg.value, is_whole and method in SAME_TEXT) for arg in args)

    def _results(self, function: cst.FunctionDef) -> Iterator[cst.CSTNode]:
        returned = (found.value for found in self._module.find(cst.Return, within=function.body, own=True))
        yielded = (found.value for found in self._module.find(cst.Yield, within=function.body, own=True))
        yield from (value for value in (*returned, *yielded) if value is not None)

    def _of_name(self, name: cst.Name) -> Iterator[cst.CSTNode]:
        yield from self._given.get(name.value, ())
        for value in self._module.assigned(name):
            if isinstance(value, cst.Param):
                yield from self._of_parameter(value)
            elif isinstance(value, cst.Name):
                yield from self._binding(value)
            elif isinstance(value, cst.BaseExpression):
                yield value

    def _binding(self, target: cst.Name) -> Iterator[cst.CSTNode]:
        for outer in self._module.around(target):
            place = BOUND.get(type(outer))
            value = getattr(outer, place) if place else None
            if value is not None:
                yield value
            if place or isinstance(outer, cst.BaseSmallStatement | cst.BaseCompoundStatement):
                return

    def _of_parameter(self, parameter: cst.Param) -> Iterator[cst.CSTNode]:
        if parameter.default is not None:
            yield parameter.default
        function = next((outer for outer in self._module.around(parameter) if isinstance(outer, cst.FunctionDef)), None)
        name = function.name.value if function is not None else ""
        for call in self._calls.get(name, ()):
            if self._module.function(call.func) is function:
                yield from (arg.value for arg in call.args)
