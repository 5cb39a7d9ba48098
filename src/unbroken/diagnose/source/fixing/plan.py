"""What is to be rewritten in one module, collected first and done in one walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar, cast

import libcst as cst

from unbroken.diagnose.source.config import CheckConfig
from unbroken.diagnose.source.excuses import Excuses
from unbroken.diagnose.source.fixing.importing import Import, with_imports
from unbroken.diagnose.source.fixing.report import Change
from unbroken.diagnose.source.module import SourceModule

__all__ = ["Edit", "Plan"]

Node = TypeVar("Node", bound=cst.CSTNode)
Replacement: TypeAlias = cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[Any]
Edit: TypeAlias = Callable[[cst.CSTNode], Replacement]
"""Takes a node as the edits inside it have left it, and returns what stands in its place."""


class Plan:
    """The edits of one module.

    Args:
        module: What is rewritten; its tree is never changed.
        config: Which rules are wanted.
        found: The codes that `check` reports, by line.
        shared: Names of the module that other files use.
        inspected: One of the files that are looked at together tells a `StreamingResponse` from other responses.
    """

    def __init__(
        self,
        module: SourceModule,
        config: CheckConfig,
        found: dict[int, set[str]],
        *,
        shared: frozenset[str] = frozenset(),
        inspected: bool = False,
    ) -> None:
        self.module = module
        self.shared = shared
        self.inspected = inspected
        self.changes: list[Change] = []
        self._config = config
        self._found = found
        self._excuses = Excuses(module.text)
        self._edits: dict[cst.CSTNode, list[Edit]] = {}
        self._taken = {name.value for name in module.find(cst.Name)}
        self._chosen: dict[tuple[str, str], str] = {}
        self._needed: dict[Import, None] = {}
        self._unused: dict[Import, None] = {}

    def allows(self, node: cst.CSTNode, *codes: str) -> bool:
        """Say whether a rewrite for the sake of `codes` is wanted at `node`: no `# noqa` there names one of them."""
        where = self.module.position(node)
        lines = {where.start.line, where.end.line}
        return any(map(self._config.wants, codes)) and not any(self._excuses.cover(code, *lines) for code in codes)

    def found(self, node: cst.CSTNode, *codes: str) -> str | None:
        """Return the first of `codes` that `check` reports within `node`."""
        where = self.module.position(node)
        lines = range(where.start.line, where.end.line + 1)
        return next((code for code in codes if any(code in self._found.get(line, ()) for line in lines)), None)

    def note(self, node: cst.CSTNode, code: str | None, what: str) -> None:
        """Tell of a rewrite at `node`."""
        change = Change(self.module.position(node).start.line, code, what)
        if change not in self.changes:
            self.changes.append(change)

    def edit(self, node: Node, edit: Callable[[Node], Replacement]) -> None:
        """Have `node` replaced by what `edit` makes of it, after the edits inside it and those given before."""
        self._edits.setdefault(node, []).append(cast("Edit", edit))

    def replace(self, node: cst.CSTNode, replacement: Replacement) -> None:
        """Have `replacement` stand in the place of `node`."""
        self.edit(node, lambda _: replacement)

    def need(self, module: str, name: str | None = None, alias: str | None = None) -> None:
        """Have `name` imported from `module`, or `module` itself."""
        self._needed[module, name, alias] = None

    def spare(self, module: str, name: str | None = None, alias: str | None = None) -> None:
        """Have an import go if nothing uses it any more."""
        self._unused[module, name, alias] = None

    def known_as(self, module: str, name: str, fallback: str) -> str:
        """Return what this module calls `name` of `module`: as it is imported, or from now on; needs the import."""
        if (module, name) not in self._chosen:
            self._chosen[module, name] = self._imported(module, name) or self._new(module, name, fallback)
        return self._chosen[module, name]

    def module_name(self, module: str) -> str | None:
        """Return what this module calls the module `module`; None where that name is given to something else, too."""
        for statement in self._at_top(cst.Import):
            for alias in statement.names:
                local = alias.evaluated_alias or module
                if alias.evaluated_name == module and self._is_always(local, module):
                    return local
        if not self._is_always(module, module):
            return None
        self.need(module)
        return module

    def _imported(self, module: str, name: str) -> str | None:
        for statement in self._at_top(cst.ImportFrom):
            if self._source(statement) == module and not isinstance(statement.names, cst.ImportStar):
                for alias in statement.names:
                    local = alias.evaluated_alias or name
                    if alias.evaluated_name == name and self._is_always(local, f"{module}.{name}"):
                        return local
        return None

    def _at_top(self, kind: type[Node]) -> Iterator[Node]:
        """Yield the statements of the module's own body: what a function or a branch imports need not be there."""
        for line in self.module.tree.body:
            if isinstance(line, cst.SimpleStatementLine):
                yield from (part for part in line.body if isinstance(part, kind))

    def _is_always(self, local: str, qualified: str) -> bool:
        """Say whether `local` is nothing but `qualified` wherever it stands in the module."""
        named = (node for node in self.module.find(cst.Name) if node.value == local)
        return all(self._is_part(name) or self.module.name(name) == qualified for name in named)

    def _is_part(self, name: cst.Name) -> bool:
        parent = self.module.parent(name)
        if isinstance(parent, cst.Attribute):
            return parent.attr is name or isinstance(self.module.parent(parent), cst.ImportAlias | cst.ImportFrom)
        if isinstance(parent, cst.Arg):
            return parent.keyword is name
        return isinstance(parent, cst.ImportAlias | cst.ImportFrom | cst.AsName)

    def _source(self, statement: cst.ImportFrom) -> str | None:
        return None if statement.module is None or statement.relative else self.module.code(statement.module)

    def _new(self, module: str, name: str, fallback: str) -> str:
        chosen = name if name not in self._taken or self._imports(module, name) else fallback
        self._taken.add(chosen)
        self.need(module, name, None if chosen == name else chosen)
        return chosen

    def _imports(self, module: str, name: str) -> bool:
        """Say whether `name` is imported from `module` as itself, and perhaps not used yet."""
        return any(
            self._source(statement) == module
            and not isinstance(statement.names, cst.ImportStar)
            and any(alias.evaluated_name == name and alias.asname is None for alias in statement.names)
            for statement in self._at_top(cst.ImportFrom)
        )

    def take(self, name: str) -> None:
        """Let `name` be given anew: what has it now goes."""
        self._taken.discard(name)

    def applied(self) -> str:
        """Return the module's source with all edits done."""
        if not self._edits and not self._needed:
            return self.module.text
        tree = self.module.tree.visit(_Editor(self._edits))
        return (with_imports(tree, self._needed, self._unused) if self._needed or self._unused else tree).code


class _Editor(cst.CSTTransformer):
    def __init__(self, edits: dict[cst.CSTNode, list[Edit]]) -> None:
        super().__init__()
        self._edits = edits

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNodeT:
        node: Replacement = updated_node
        for edit in self._edits.get(original_node, ()):
            if not isinstance(node, cst.CSTNode):
                break
            node = edit(node)
        return cast("cst.CSTNodeT", node)
