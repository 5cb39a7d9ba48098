from __future__ import annotations

from pathlib import Path

import libcst as cst
import pytest

from unbroken.diagnose.source.module import SourceModule
from unbroken.errors import DiagnosisError


def module(text: str) -> SourceModule:
    """Return `text`, parsed."""
    return SourceModule(Path("app.py"), text)


def call(source: SourceModule, code: str) -> cst.Call:
    """Return the call whose source text is `code`."""
    return next(node for node in source.find(cst.Call) if source.code(node) == code)


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ("from asyncio import sleep", "sleep"),
        ("from asyncio import sleep as nap", "nap"),
        ("import asyncio", "asyncio.sleep"),
        ("import asyncio as aio", "aio.sleep"),
    ],
)
def test_names_are_full_through_every_import(imports: str, name: str) -> None:
    """A call's name is that of where it was imported from."""
    source = module(f"{imports}\n{name}(1)\n")
    assert source.called(call(source, f"{name}(1)")) == "asyncio.sleep"


def test_a_builtin_has_its_plain_name() -> None:
    """`print` is `print`, and what is no call calls nothing."""
    source = module("print(1)\n")
    assert source.called(call(source, "print(1)")) == "print"
    assert source.called(source.tree) is None


def test_a_value_is_followed_through_one_name_only() -> None:
    """A name with one value stands for it; one with two stands for itself."""
    source = module("a = 'x'\nb = 'y'\nb = 'z'\nf(a)\nf(b)\n")
    assert source.text_of(call(source, "f(a)").args[0].value) == "x"
    assert source.text_of(call(source, "f(b)").args[0].value) is None


@pytest.mark.parametrize("made", ["Hub()", "hub", "given", "self"])
def test_methods_are_found_by_their_object(made: str) -> None:
    """A method is known by `self`, by an object of the module, by an annotation, and on the class's call."""
    source = module(
        "class Hub:\n"
        "    def listen(self):\n        return 1\n"
        "    def run(self):\n        self.listen()\n"
        "hub = Hub()\n"
        "def use(given: Hub):\n    given.listen()\n    hub.listen()\n    Hub().listen()\n"
    )
    found = source.function(call(source, f"{made}.listen()").func)
    assert found is not None
    assert found.name.value == "listen"


def test_reach_holds_what_is_called_over_several_steps_once() -> None:
    """What a function reaches are the functions that it calls, and those that they call, each once."""
    source = module("def a():\n    b()\n    c()\ndef b():\n    c()\ndef c():\n    a()\ndef d():\n    a()\n")
    start = next(source.find(cst.FunctionDef))
    assert [function.name.value for function in source.reach(start)] == ["a", "b", "c"]


def test_a_walk_may_stay_in_one_function() -> None:
    """`own` leaves out what stands in functions and lambdas inside."""
    source = module("def a():\n    f(1)\n    def b():\n        f(2)\n    g = lambda: f(3)\n")
    outer = next(source.find(cst.FunctionDef))
    assert [source.code(node) for node in source.find(cst.Call, within=outer.body, own=True)] == ["f(1)"]
    assert len(list(source.find(cst.Call))) == 3


def test_a_guard_is_known_by_its_full_name() -> None:
    """Only unbroken's guard makes a module guarded, under whatever name."""
    assert module("from unbroken import EventStreamGuard as Guard\napp = Guard(1)\n").guarded
    assert not module("class EventStreamGuard: ...\napp = EventStreamGuard()\n").guarded
    assert SourceModule(Path("app.py"), "x = 1\n", guarded=True).guarded


def test_what_is_no_python_is_refused_with_its_line() -> None:
    """The error says the file and the line."""
    with pytest.raises(DiagnosisError, match=r"^app\.py:2: no Python"):
        module("x = 1\ny = = 2\n")
