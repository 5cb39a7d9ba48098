"""What the probes share: loading a piece of the catalogue's code, and saying what was seen of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from unbroken.diagnose import Code
from unbroken.testing import run_with_virtual_clock

__all__ = ["Look", "Probe", "in_real_time", "in_virtual_time", "load"]

Look = Callable[[Code], str]
"""Runs a piece of code as a user would and says, in a few words, what it does."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One look at both pieces of a cause's code, and the two different answers that it must give."""

    look: Look
    broken: str
    fixed: str


def load(code: Code) -> ModuleType:
    """Import a piece of code afresh."""
    module = ModuleType("application")
    exec(compile(code.text, "application.py", "exec"), module.__dict__)
    return module


def in_virtual_time(look: Callable[[ModuleType], Coroutine[Any, Any, str]]) -> Look:
    """Make a look of a coroutine function that is given the loaded module; an hour in it takes no time."""
    return lambda code: run_with_virtual_clock(look(load(code)))


def in_real_time(look: Callable[[ModuleType], Coroutine[Any, Any, str]]) -> Look:
    """The same for a look at threads, which the virtual clock cannot see."""
    return lambda code: asyncio.run(look(load(code)))
