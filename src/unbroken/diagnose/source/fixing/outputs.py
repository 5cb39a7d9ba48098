"""Which hand-written frames of a module may become events: those of whole streams, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import libcst as cst

from unbroken.diagnose.source.fixing.frames import Frame, expression_of, frame_of
from unbroken.diagnose.source.fixing.origins import Origins
from unbroken.diagnose.source.fixing.templates import Hole, Template, is_json, quote_of, template_of
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import Stream, is_generator

__all__ = ["Draft", "drafts", "is_keyword"]


@dataclass(slots=True, eq=False)
class Draft:
    """What the functions behind one response put out, every piece of it understood."""

    frames: dict[cst.BaseExpression, Frame] = field(default_factory=dict)
    """The expressions that make a frame."""
    functions: dict[cst.FunctionDef, None] = field(default_factory=dict)
    uses: set[cst.Name] = field(default_factory=set)
    """Where those functions, and what else holds a frame, are named for the sake of this stream."""
    carriers: set[tuple[cst.FunctionDef, str]] = field(default_factory=set)
    """Local names that hold a frame."""
    variables: set[tuple[cst.FunctionDef, str]] = field(default_factory=set)
    """Variables of loops over frames: nothing is assigned to them but by those loops."""


def drafts(
    module: SourceModule,
    found: Iterable[Stream],
    shared: frozenset[str],
    is_bare: Callable[[cst.CSTNode], bool] = lambda _: False,
) -> dict[Stream, Draft]:
    """Return what each of the streams puts out; without those that are not understood as a whole.

    Nor with those whose functions somebody else uses: another response, a test, a module that imports them.

    Args:
        module: Where they are.
        found: Streams whose frames are written by hand.
        shared: Names that other modules use; with a dot before them those of methods that classes there have.
        is_bare: Says of an expression that it is put out without being framed, though it should be.
    """
    origins = Origins(module)
    known = {stream: draft for stream in found if (draft := _Reader(module, is_bare, origins).read(stream)) is not None}
    while lost := [stream for stream, draft in known.items() if not _is_own(module, draft, known.values(), shared)]:
        for stream in lost:
            del known[stream]
    return known


def _is_own(module: SourceModule, draft: Draft, others: Iterable[Draft], shared: frozenset[str]) -> bool:
    uses = set[cst.Name]().union(*(other.uses for other in others))
    return (
        all(_is_used_so(module, function, uses, shared) for function in draft.functions)
        and all(_is_only_put_out(module, function, name, uses) for function, name in draft.carriers)
        and all(_named(module, function, name) <= uses for function, name in draft.variables)
    )


def _is_used_so(module: SourceModule, function: cst.FunctionDef, uses: set[cst.Name], shared: frozenset[str]) -> bool:
    """Say whether every use of `function` is one of `uses`."""
    name = function.name.value
    if module.function_around(function) is None and (name in shared or _is_listed(module, name)):
        return False
    if _is_method(module, function) and (f".{name}" in shared or _is_overridden(module, function)):
        return False
    named = (node for node in module.find(cst.Name) if node.value == name)
    return all(node in uses or not _may_be(module, node, function) for node in named)


def _is_method(module: SourceModule, function: cst.FunctionDef) -> bool:
    return isinstance(module.parent(module.parent(function)), cst.ClassDef)


def _is_overridden(module: SourceModule, function: cst.FunctionDef) -> bool:
    """Say whether another class has the method too, or this one a second time: `self` may be an object of either."""
    named = (node for node in module.find(cst.Name) if node.value == function.name.value)
    return any(_is_member(module, node) for node in named if node is not function.name)


def _is_member(module: SourceModule, name: cst.Name) -> bool:
    """Say whether a class's body gives `name` a meaning."""
    outer = next((outer for outer in module.around(name) if isinstance(outer, cst.FunctionDef | cst.ClassDef)), None)
    if isinstance(outer, cst.FunctionDef) and outer.name is name:
        return _is_method(module, outer)
    is_target = isinstance(module.parent(name), cst.AssignTarget | cst.AnnAssign | cst.Tuple | cst.List)
    return isinstance(outer, cst.ClassDef) and is_target


def _is_listed(module: SourceModule, name: str) -> bool:
    """Say whether `name` stands in the module as a string, as it does in `__all__`."""
    return any(module.text_of(text) == name for text in module.find(cst.SimpleString))


def _may_be(module: SourceModule, name: cst.Name, function: cst.FunctionDef) -> bool:
    """Say whether `name` may be `function`, as far as can be seen: another function may have the same name."""
    parent = module.parent(name)
    if isinstance(parent, cst.FunctionDef) or is_keyword(module, name):
        return False
    if isinstance(parent, cst.Attribute) and parent.attr is name:
        return _is_method(module, function)
    assigned = module.assigned(name)
    return not assigned or function in assigned


def is_keyword(module: SourceModule, name: cst.Name) -> bool:
    """Say whether `name` stands before the `=` of an argument, and so names nothing of this module."""
    parent = module.parent(name)
    return isinstance(parent, cst.Arg) and parent.keyword is name


def _is_only_put_out(module: SourceModule, function: cst.FunctionDef, carrier: str, uses: set[cst.Name]) -> bool:
    return all(
        name in uses or isinstance(module.parent(name), cst.AssignTarget) for name in _named(module, function, carrier)
    )


def _named(module: SourceModule, function: cst.FunctionDef, name: str) -> set[cst.Name]:
    return {node for node in module.find(cst.Name, within=function.body) if node.value == name}


class _Reader:
    """Follows one stream from its response to every expression that is put out."""

    def __init__(self, module: SourceModule, is_bare: Callable[[cst.CSTNode], bool], origins: Origins) -> None:
        self._module = module
        self._origins = origins
        self._is_bare = is_bare
        self._draft = Draft()

    def read(self, stream: Stream) -> Draft | None:
        """Return what `stream` puts out; None where one piece is not understood."""
        content = _content(stream)
        if content is None or not self._source(content):
            return None
        frames = self._draft.frames.values()
        is_certain = _are_whole(frames) and not any(self._origins.frame(frame.texts) for frame in frames)
        return self._draft if is_certain else None

    def _source(self, node: cst.BaseExpression) -> bool:
        """Take what is iterated: a generator's call, or a generator expression."""
        if isinstance(node, cst.Name):
            value = self._module.value(node)
            return isinstance(value, cst.Call) and self._is_used_once(node) and self._source(value)
        if isinstance(node, cst.GeneratorExp):
            return self._output(node.elt, self._module.function_around(node))
        function = self._called(node)
        return function is not None and is_generator(self._module, function) and self._function(function)

    def _is_used_once(self, name: cst.Name) -> bool:
        function = self._module.function_around(name)
        within = self._module.tree if function is None else function.body
        return sum(other.value == name.value for other in self._module.find(cst.Name, within=within)) == 2

    def _called(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """Return this module's function that is called, and note that it is named for it."""
        if not isinstance(node, cst.Call):
            return None
        function = self._module.function(node.func)
        if function is not None and not function.decorators:
            name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
            self._draft.uses.add(cst.ensure_type(name, cst.Name))
            return function
        return None

    def _function(self, function: cst.FunctionDef) -> bool:
        if function in self._draft.functions:
            return True
        self._draft.functions[function] = None
        return all(self._output(value, function) for value in self._outputs(function))

    def _outputs(self, function: cst.FunctionDef) -> Iterator[cst.CSTNode | None]:
        find = self._module.find
        if is_generator(self._module, function):
            yield from (found.value for found in find(cst.Yield, within=function.body, own=True))
        else:
            returned = [found.value for found in find(cst.Return, within=function.body, own=True)]
            yield from returned or [None]

    def _output(self, node: cst.CSTNode | None, function: cst.FunctionDef | None) -> bool:
        if isinstance(node, cst.From):
            return self._source(node.item)
        if not isinstance(node, cst.BaseExpression):
            return False
        if isinstance(node, cst.IfExp):
            return self._output(node.body, function) and self._output(node.orelse, function)
        if self._is_bare(node) and template_of(self._module, node) is None:
            # A `StreamingResponse` takes no other than text, so it may stand alone.
            self._draft.frames[node] = Frame(data=(Hole(node, is_text=True),), is_closed=False)
            return True
        if isinstance(node, cst.Name) and not self._is_constant(node):
            return function is not None and self._name(node, function)
        return self._frame(node) or self._helper(node)

    def _is_constant(self, name: cst.Name) -> bool:
        return self._module.text_of(name) is not None

    def _frame(self, node: cst.BaseExpression) -> bool:
        template = template_of(self._module, node)
        frame = (frame_of(template) if template else None) or _bare(self._module, node)
        if frame is None or expression_of(frame, "ServerSentEvent", self._module.code) is None:
            return False
        self._draft.frames[node] = replace(frame, quote=quote_of(self._module, node))
        return True

    def _helper(self, node: cst.BaseExpression) -> bool:
        call = node.expression if isinstance(node, cst.Await) else node
        function = self._called(call)
        return function is not None and not is_generator(self._module, function) and self._function(function)

    def _name(self, name: cst.Name, function: cst.FunctionDef) -> bool:
        """Take a name that is put out: the variable of a loop over frames, or one that a frame is assigned to."""
        loop = self._loop(name, function)
        if loop is not None:
            self._draft.uses |= {name, cst.ensure_type(loop.target, cst.Name)}
            self._draft.variables.add((function, name.value))
            return self._source(loop.iter)
        values = self._module.assigned(name)
        self._draft.uses.add(name)
        self._draft.carriers.add((function, name.value))
        return bool(values) and all(
            isinstance(value, cst.BaseExpression) and not isinstance(value, cst.Name) and self._frame(value)
            for value in values
        )

    def _loop(self, name: cst.Name, function: cst.FunctionDef) -> cst.For | None:
        for outer in self._module.around(name):
            if outer is function:
                return None
            if isinstance(outer, cst.For) and isinstance(outer.target, cst.Name) and outer.target.value == name.value:
                return outer
        return None


def _content(stream: Stream) -> cst.BaseExpression | None:
    arguments = stream.at.args if isinstance(stream.at, cst.Call) else ()
    first = next((arg.value for arg in arguments if arg.keyword is None and not arg.star), None)
    return first or stream.options.get("content")


def _bare(module: SourceModule, node: cst.BaseExpression) -> Frame | None:
    """Return the event that was meant by JSON without its `data:`, perhaps with a line end."""
    parts: Template = template_of(module, node) or ()
    if is_json(module, node):
        parts = (Hole(node, is_text=True, is_json=True),)
    is_meant = parts and isinstance(parts[0], Hole) and parts[0].is_json and parts[1:] in {(), ("\n",), ("\n\n",)}
    return Frame(data=parts[:1], is_closed=False) if is_meant else None


def _are_whole(frames: Iterable[Frame]) -> bool:
    """Say whether each frame is an event by itself: all are closed, or none is and each has its data."""
    found = list(frames)
    closed = [frame.is_closed for frame in found]
    return all(closed) or (not any(closed) and all(frame.data is not None for frame in found))
