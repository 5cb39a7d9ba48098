"""SSE008, SSE009 and SSE020: queues that streams share with those who publish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import argument, foreground, last_name, number, origin, short
from unbroken.diagnose.source.flow import does, is_endless, own_loops
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import Stream

__all__ = ["RULES"]

QUEUES: Final = frozenset({
    "asyncio.Queue", "asyncio.LifoQueue", "asyncio.PriorityQueue", "queue.Queue", "queue.LifoQueue",
    "queue.PriorityQueue", "queue.SimpleQueue", "multiprocessing.Queue", "collections.deque", "asyncio.Event",
    "janus.Queue",
    "anyio.create_memory_object_stream",
})  # fmt: skip
SIZES: Final = {"anyio.create_memory_object_stream": "max_buffer_size", "collections.deque": "maxlen"}
ADDS: Final = frozenset({"append", "add", "appendleft", "insert"})
REMOVES: Final = frozenset({"remove", "discard", "pop", "popitem", "clear", "popleft"})
WEAK: Final = ("WeakSet", "WeakValueDictionary", "WeakKeyDictionary")
QUEUE_LIKE: Final = re.compile(r"(?i)(.*_)?(q|queue|listener|subscriber|send(er)?|send_stream|channel|inbox|mailbox)")
AFTERWARDS: Final = ("background", "on_close", "client_close_handler_callable")


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """A place at which a client's queue is put where publishers find it."""

    node: cst.CSTNode
    collection: str
    """As it is written: `self.subscribers`."""
    queue: cst.BaseExpression
    shared: bool
    """The collection is the module's, not an instance's."""


def _functions(module: SourceModule, stream: Stream) -> list[cst.FunctionDef]:
    """Return the functions that run for one client: its endpoint, its generators, and what they call."""
    found = dict.fromkeys(foreground(module, stream))
    if stream.endpoint is not None:
        found.update(dict.fromkeys(module.reach(stream.endpoint)))
    return list(found)


def _registrations(module: SourceModule, functions: list[cst.FunctionDef]) -> Iterator[Registration]:
    for function in functions:
        for call in module.find(cst.Call, within=function.body, own=True):
            if isinstance(call.func, cst.Attribute) and call.func.attr.value in ADDS and call.args:
                yield from _registration(module, call, call.func.value, call.args[-1].value)
        for statement in module.find(cst.Assign, within=function.body, own=True):
            target = statement.targets[0].target
            if isinstance(target, cst.Subscript):
                yield from _registration(module, statement, target, statement.value)


def _registration(
    module: SourceModule, node: cst.CSTNode, place: cst.BaseExpression, queue: cst.BaseExpression
) -> Iterator[Registration]:
    root = _root(place)
    if root is None or not _is_queue(module, queue) or not _outlives(module, root) or _is_weak(module, root):
        return
    shared = isinstance(root, cst.Name)
    yield Registration(node, module.code(root), queue, shared)


def _root(place: cst.BaseExpression) -> cst.Name | cst.Attribute | None:
    """Return the collection in `rooms[name]`, `rooms.setdefault(name, [])` or `rooms.get(name)`."""
    while True:
        if isinstance(place, cst.Subscript):
            place = place.value
        elif isinstance(place, cst.Call) and isinstance(place.func, cst.Attribute):
            place = place.func.value
        else:
            break
    return place if isinstance(place, cst.Name | cst.Attribute) else None


def _is_queue(module: SourceModule, expression: cst.BaseExpression) -> bool:
    if isinstance(expression, cst.Call):
        return _made(module, expression) in QUEUES
    if not isinstance(expression, cst.Name):
        return False
    found = module.value(expression)
    if isinstance(found, cst.Call):
        return _made(module, found) in QUEUES or origin(module, found) in QUEUES
    return QUEUE_LIKE.fullmatch(expression.value) is not None


def _made(module: SourceModule, call: cst.Call) -> str | None:
    """Return the full name of the class that is called, also as `asyncio.Queue[str]()`."""
    func = call.func.value if isinstance(call.func, cst.Subscript) else call.func
    return module.name(func)


def _outlives(module: SourceModule, root: cst.Name | cst.Attribute) -> bool:
    """Say whether a collection is still there when the client has gone."""
    if isinstance(root, cst.Attribute):
        return True
    found = module.assigned(root)
    return bool(found) and all(module.function_around(node) is None for node in found)


def _is_weak(module: SourceModule, root: cst.BaseExpression) -> bool:
    return (origin(module, root) or "").endswith(WEAK) or (
        isinstance(root, cst.Name)
        and isinstance(made := module.value(root), cst.Call)
        and (module.called(made) or "").endswith(WEAK)
    )


def _not_removed(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        functions = _functions(module, stream)
        for found in _registrations(module, functions):
            if any(name in stream.options for name in AFTERWARDS) or _is_removed(module, functions, found):
                continue
            yield Problem(
                found.node,
                f"`{found.collection}` keeps `{short(module, found.queue)}` when the client has gone: nothing takes "
                "it out in a `finally`, so every visit leaves one behind, and publishing slows down and fills it. "
                "Put the stream into `try:` … `finally:` and remove it there",
            )


def _is_removed(module: SourceModule, functions: list[cst.FunctionDef], found: Registration) -> bool:
    return any(
        _removes(module, block.body, found, 0)
        for function in functions
        for block in module.find(cst.Finally, within=function.body, own=True)
    )


def _removes(module: SourceModule, body: cst.CSTNode, found: Registration, depth: int) -> bool:
    """Say whether a cleanup takes the queue out, itself or by a function that it hands it to."""
    for call in module.find(cst.Call, within=body):
        if isinstance(call.func, cst.Attribute) and call.func.attr.value in REMOVES:
            root = _root(call.func.value)
            if root is not None and module.code(root).rpartition(".")[2] == found.collection.rpartition(".")[2]:
                return True
        function = module.function(call.func)
        if function is not None and depth == 0 and _removes(module, function.body, found, 1):
            return True
        if function is None and depth == 0 and _is_given(module, call, found):
            return True
    return any(_is_of(module, node.target, found) for node in module.find(cst.Del, within=body))


def _is_given(module: SourceModule, call: cst.Call, found: Registration) -> bool:
    """Say whether an unknown function is given the queue, as `hub.leave(queue)`."""
    text = module.code(found.queue)
    known = (
        isinstance(call.func, cst.Attribute) and isinstance(call.func.value, cst.Name) and call.func.value.value == text
    )
    return not known and any(module.code(arg.value) == text for arg in call.args)


def _is_of(module: SourceModule, target: cst.BaseExpression, found: Registration) -> bool:
    root = _root(target)
    return root is not None and module.code(root) == found.collection


def _unbounded(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        functions = _functions(module, stream)
        registered = {_maker(module, found.queue) for found in _registrations(module, functions)}
        for function in functions:
            for call in module.find(cst.Call, within=function.body, own=True):
                if _is_unbounded(module, call) and (call in registered or _feeds_endless(module, call, functions)):
                    yield Problem(
                        call,
                        f"`{short(module, call)}` has no bound: what is published for a client that reads slowly, or "
                        "not at all, stays in memory. Give it a size, and say what happens at the limit: drop the "
                        "oldest, or end the stream so that the client comes back",
                    )


def _maker(module: SourceModule, queue: cst.BaseExpression) -> cst.CSTNode:
    """Return the call that made a queue, also one of the two ends in `send, receive = …`."""
    found = module.value(queue)
    for outer in module.around(found) if isinstance(found, cst.Name) else ():
        if isinstance(outer, cst.Assign):
            return outer.value
        if isinstance(outer, cst.BaseSmallStatement):
            break
    return found


def _is_unbounded(module: SourceModule, call: cst.Call) -> bool:
    name = _made(module, call)
    if name not in QUEUES or name == "asyncio.Event":
        return False
    if name == "queue.SimpleQueue":
        return True
    position = 1 if name == "collections.deque" else 0
    size = argument(call, SIZES.get(name, "maxsize"), position)
    if name == "anyio.create_memory_object_stream":
        return size is not None and (module.name(size) == "math.inf" or "inf" in module.code(size))
    return size is None or number(module, size) == 0 or (isinstance(size, cst.Name) and size.value == "None")


def _feeds_endless(module: SourceModule, call: cst.Call, functions: list[cst.FunctionDef]) -> bool:
    """Say whether an endless loop of the stream reads from the queue."""
    for function in functions:
        for loop in own_loops(module, function.body):
            if is_endless(module, loop) and does(module, loop.body, cst.Yield) and _reads(module, loop, call):
                return True
    return False


def _reads(module: SourceModule, loop: cst.While | cst.For, queue: cst.Call) -> bool:
    return any(
        last_name(call) in {"get", "get_nowait", "popleft"}
        and isinstance(call.func, cst.Attribute)
        and module.value(call.func.value) is queue
        for call in module.find(cst.Call, within=loop, own=True)
    )


def _in_process(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    shared = [
        found
        for stream in subject.streams
        for found in _registrations(module, _functions(module, stream))
        if found.shared or not found.collection.startswith("self.")
    ]
    for node, count in _workers(module) if shared else ():
        yield Problem(
            node,
            f"`{shared[0].collection}` is in the memory of one process, and {count:.0f} workers are started: an "
            "event reaches only the clients of the worker in which it is published. Run one worker, or publish "
            "through a broker or a database that all of them read",
        )


def _workers(module: SourceModule) -> Iterator[tuple[cst.CSTNode, float]]:
    for call in module.find(cst.Call):
        if module.called(call) in {"uvicorn.run", "granian.Granian", "uvicorn.Config"}:
            count = number(module, argument(call, "workers"))
            if count is not None and count > 1:
                yield call, count
    for statement in module.find(cst.Assign):
        target = statement.targets[0].target
        if isinstance(target, cst.Attribute) and (origin(module, target) or "") == "hypercorn.config.Config.workers":
            count = number(module, statement.value)
            if count is not None and count > 1:
                yield statement, count


RULES: Final = (
    Rule(
        "SSE008",
        "subscriber-not-removed",
        "cleanup-not-run",
        "A client's queue that is registered, and not removed in a `finally`",
        _not_removed,
        fixable=True,
        limits=(
            "Queues, deques and events that the generator, its endpoint or a function that they call puts into a "
            "collection of the module or of an object. A removal in an `except`, or after the loop, is none: "
            "neither is reached when the client leaves at a `yield`. A `finally` that hands the queue to another "
            "function passes, as do weak collections and responses with a `background`, `on_close` or "
            "`client_close_handler_callable`."
        ),
    ),
    Rule(
        "SSE009",
        "unbounded-queue",
        "unbounded-queue",
        "A queue for each client that has no bound",
        _unbounded,
        limits=(
            "A queue that is registered for publishers, or read in an endless loop. One that a finite task of the same "
            "stream fills (the answer of a model) passes: that task is its bound."
        ),
    ),
    Rule(
        "SSE020",
        "in-process-subscribers",
        "workers-without-shared-log",
        "Subscribers in the memory of one process, and several workers started",
        _in_process,
        limits=(
            "Only if the same module starts the workers, by `uvicorn.run(workers=…)`, `granian.Granian(workers=…)` or "
            "hypercorn's `Config`: what stands on a command line is not seen."
        ),
    ),
)
