"""One source file, parsed, with the questions that rules ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import libcst as cst
from libcst import metadata as meta

from unbroken.errors import DiagnosisError

__all__ = ["FUNCTION", "SourceModule"]

Node = TypeVar("Node", bound=cst.CSTNode)

FUNCTION = (cst.FunctionDef, cst.Lambda)
"""What has a body of its own: a walk through a function's steps stops there."""

SPACE = (
    cst.BaseParenthesizableWhitespace, cst.TrailingWhitespace, cst.EmptyLine, cst.Comma, cst.Dot, cst.AssignEqual,
    cst.LeftParen, cst.RightParen, cst.LeftSquareBracket, cst.RightSquareBracket, cst.LeftCurlyBrace,
    cst.RightCurlyBrace,
)  # fmt: skip
"""What no rule looks for, and half of the nodes."""
_BUILTINS = "builtins."


class SourceModule:
    """A parsed file: names resolved through aliases, functions found across the module.

    Args:
        path: What findings are reported under; the file is not read.
        text: The source.
        guarded: An `EventStreamGuard` is around the application, wherever it was added.

    Raises:
        DiagnosisError: `text` is no Python that libcst can parse; the error says the line.
    """

    def __init__(self, path: Path, text: str, *, guarded: bool = False) -> None:
        self.path = path
        self.text = text
        try:
            # The tree is ours alone: copying it, which guards against nodes used twice, takes as long as parsing it.
            self._wrapper = meta.MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        except cst.ParserSyntaxError as error:
            raise DiagnosisError(f"{path}:{error.raw_line}: no Python that can be parsed") from error
        self.tree = self._wrapper.module
        self._guarded = guarded
        self._children: dict[cst.CSTNode, Sequence[cst.CSTNode]] = {}
        self._names: dict[cst.CSTNode, str | None] = {}

    @cached_property
    def guarded(self) -> bool:
        """Whether streams of this module stand behind an `EventStreamGuard`."""
        return self._guarded or any(
            self.spelled(node) == "EventStreamGuard" and self.name(node) == "unbroken.EventStreamGuard"
            for node in self.find(cst.Name)
        )

    @cached_property
    def _positions(self) -> Mapping[cst.CSTNode, meta.CodeRange]:
        return self._wrapper.resolve(meta.PositionProvider)

    @cached_property
    def _parents(self) -> Mapping[cst.CSTNode, cst.CSTNode]:
        found: dict[cst.CSTNode, cst.CSTNode] = {}
        stack: list[cst.CSTNode] = [self.tree]
        while stack:
            node = stack.pop()
            children = self._inside(node)
            found.update(dict.fromkeys(children, node))
            stack.extend(children)
        return found

    @cached_property
    def _scopes(self) -> Mapping[cst.CSTNode, meta.Scope | None]:
        return self._wrapper.resolve(meta.ScopeProvider)

    def position(self, node: cst.CSTNode) -> meta.CodeRange:
        """Return where `node` stands: lines from 1, columns from 0."""
        return self._positions[node]

    def name(self, node: cst.CSTNode) -> str | None:
        """Return the full dotted name that `node` refers to, as imported: `starlette.responses.StreamingResponse`.

        None where it has none, or may have several.
        """
        if node not in self._names:
            # libcst's own provider asks this for every node of the tree, and rules ask it for a few.
            scope = self._scopes.get(node)
            names = scope.get_qualified_names_for(node) if scope is not None else ()
            self._names[node] = next(iter(names)).name.removeprefix(_BUILTINS) if len(names) == 1 else None
        return self._names[node]

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        imported = {
            alias.asname.name.value: alias.evaluated_name.rpartition(".")[2]
            for alias in self.find(cst.ImportAlias)
            if alias.asname is not None and isinstance(alias.asname.name, cst.Name)
        }
        for assign in self.find(cst.Assign):
            target = assign.targets[0].target
            if isinstance(target, cst.Name) and isinstance(assign.value, cst.Name | cst.Attribute):
                imported.setdefault(target.value, _last(assign.value))
        return imported

    def spelled(self, node: cst.CSTNode) -> str:
        """Return the last word of a name as it was imported; of a call, of what it calls.

        Only `name` is sure; but it needs the scopes of the whole module, which take longer than all else.
        """
        word = _last(node.func if isinstance(node, cst.Call) else node)
        return self._aliases.get(word, word)

    def called(self, node: cst.CSTNode) -> str | None:
        """Return the full name of what the call `node` calls; None for what is no call."""
        return self.name(node.func) if isinstance(node, cst.Call) else None

    def parent(self, node: cst.CSTNode) -> cst.CSTNode:
        """Return the node around `node`; the module's own is itself."""
        return self._parents.get(node, self.tree)

    def around(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the nodes around `node`, the nearest first."""
        while node is not self.tree:
            node = self.parent(node)
            yield node

    def function_around(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """Return the function in whose body `node` stands."""
        return next((outer for outer in self.around(node) if isinstance(outer, cst.FunctionDef)), None)

    def find(self, *kinds: type[Node], within: cst.CSTNode | None = None, own: bool = False) -> Iterator[Node]:
        """Yield the nodes of these kinds in source order; `own`: without those of functions inside."""
        stack = list(reversed(self._inside(within or self.tree)))
        while stack:
            node = stack.pop()
            if isinstance(node, kinds):
                yield node
            if not (own and isinstance(node, FUNCTION)):
                stack.extend(reversed(self._inside(node)))

    def _inside(self, node: cst.CSTNode) -> Sequence[cst.CSTNode]:
        if node not in self._children:
            self._children[node] = [child for child in _children(node) if not isinstance(child, SPACE)]
        return self._children[node]

    def assigned(self, name: cst.Name) -> list[cst.CSTNode]:
        """Return what gives `name` its value where it stands: definitions, imports, or the values of assignments."""
        scope = self._scopes.get(name)
        if scope is None:
            return []
        return [self.definition(found.node) for found in scope[name.value] if isinstance(found, meta.Assignment)]

    def definition(self, target: cst.CSTNode) -> cst.CSTNode:
        """Return the value that is assigned to `target`, or `target` itself."""
        parent = self.parent(target)
        if isinstance(parent, cst.AssignTarget):
            statement = self.parent(parent)
            return statement.value if isinstance(statement, cst.Assign) else target
        if isinstance(parent, cst.AnnAssign) and parent.target is target and parent.value is not None:
            return parent.value
        return target

    def value(self, expression: cst.BaseExpression) -> cst.CSTNode:
        """Return what `expression` stands for, through one name that has one value only."""
        if isinstance(expression, cst.Name):
            found = self.assigned(expression)
            return found[0] if len(found) == 1 else expression
        return expression

    def function(self, expression: cst.BaseExpression) -> cst.FunctionDef | None:
        """Return this module's function or method that `expression` names."""
        if isinstance(expression, cst.Attribute):
            return self._method(expression)
        found = self.value(expression)
        return found if isinstance(found, cst.FunctionDef) else None

    def _method(self, attribute: cst.Attribute) -> cst.FunctionDef | None:
        owner = self._owner(attribute.value)
        methods = (node for node in (owner.body.body if owner else ()) if isinstance(node, cst.FunctionDef))
        return next((method for method in methods if method.name.value == attribute.attr.value), None)

    def _owner(self, expression: cst.BaseExpression) -> cst.ClassDef | None:
        """Return this module's class of which `expression` is an object: `self`, `Hub()`, `hub` where that was made."""
        if isinstance(expression, cst.Name) and expression.value in {"self", "cls"}:
            return next((outer for outer in self.around(expression) if isinstance(outer, cst.ClassDef)), None)
        made = self.value(expression)
        if isinstance(made, cst.Param) and made.annotation is not None:
            kind = self.value(made.annotation.annotation)
        else:
            kind = self.value(made.func) if isinstance(made, cst.Call) else made
        return kind if isinstance(kind, cst.ClassDef) else None

    def reach(self, start: cst.FunctionDef) -> list[cst.FunctionDef]:
        """Return `start` and this module's functions that it calls or iterates, directly or through others."""
        found, left = [start], [start]
        while left:
            for call in self.find(cst.Call, within=left.pop(), own=True):
                function = self.function(call.func)
                if function is not None and function not in found:
                    found.append(function)
                    left.append(function)
        return found

    def text_of(self, node: cst.CSTNode | None) -> str | None:
        """Return the constant `str` that `node` is, through one name; None for anything else."""
        if isinstance(node, cst.Name):
            node = self.value(node)
        if isinstance(node, cst.SimpleString | cst.ConcatenatedString):
            value = node.evaluated_value
            return value if isinstance(value, str) else None
        return None

    def code(self, node: cst.CSTNode) -> str:
        """Return the source text of `node`."""
        return self.tree.code_for_node(node)


def _last(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield the children of `node` in source order: `children` takes a visitor's walk, ten times as long."""
    for name in FIRST.get(type(node), ()) or node.__dataclass_fields__:
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            yield value
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from (child for child in value if isinstance(child, cst.CSTNode))


def _order(kind: type[cst.CSTNode], *first: str) -> tuple[str, ...]:
    return (*first, *(name for name in kind.__dataclass_fields__ if name not in first))


FIRST: Final = {
    cst.FunctionDef: _order(cst.FunctionDef, "decorators", "name", "params", "returns"),
    cst.ClassDef: _order(cst.ClassDef, "decorators", "name", "bases", "keywords"),
    cst.IfExp: _order(cst.IfExp, "body", "test"),
    cst.ExceptHandler: _order(cst.ExceptHandler, "type", "name"),
    cst.ExceptStarHandler: _order(cst.ExceptStarHandler, "type", "name"),
    cst.Arg: _order(cst.Arg, "keyword"),
    cst.MatchCase: _order(cst.MatchCase, "pattern", "guard"),
}
"""Where the order of a node's fields is not that of the source."""
