"""What is to be rewritten in one module, collected first and done in one walk."""

from __future__ import annotations

from collections.abc import Callable
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
    """

    def __init__(self, module: SourceModule, config: CheckConfig, found: dict[int, set[str]]) -> None:
        self.module = module
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
            self._chosen[module, name] = self._imported(f"{module}.{name}") or self._new(module, name, fallback)
        return self._chosen[module, name]

    def module_name(self, module: str) -> str:
        """Return what this module calls the module `module`; needs the import."""
        for statement in self.module.find(cst.Import):
            for alias in statement.names:
                if alias.evaluated_name == module:
                    return alias.evaluated_alias or module
        self.need(module)
        return module

    def _imported(self, qualified: str) -> str | None:
        names = (node for node in self.module.find(cst.Name) if self.module.name(node) == qualified)
        return next((name.value for name in names if not self._is_part(name)), None)

    def _is_part(self, name: cst.Name) -> bool:
        return isinstance(self.module.parent(name), cst.Attribute | cst.ImportAlias | cst.AsName)

    def _new(self, module: str, name: str, fallback: str) -> str:
        chosen = name if name not in self._taken or self._imports(module, name) else fallback
        self._taken.add(chosen)
        self.need(module, name, None if chosen == name else chosen)
        return chosen

    def _imports(self, module: str, name: str) -> bool:
        """Say whether `name` is imported from `module` as itself, and perhaps not used yet."""
        return any(
            statement.module is not None
            and self.module.code(statement.module) == module
            and not isinstance(statement.names, cst.ImportStar)
            and any(alias.evaluated_name == name and alias.asname is None for alias in statement.names)
            for statement in self.module.find(cst.ImportFrom)
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
