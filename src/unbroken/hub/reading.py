"""How topics are read, as the arguments of `Hub.response` and `Hub.subscribe` say it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from unbroken.errors import ConfigurationError
from unbroken.hub.event import Event

__all__ = ["OnGap", "Overflow", "Reading"]

OnGap = Literal["continue", "earliest", "latest", "close"]
Overflow = Literal["resume", "drop_oldest", "conflate", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What of the topics is read, and what happens to a reader who comes too late or is too slow.

    Raises:
        ConfigurationError: an argument is none of its values.
    """

    backlog: int = 0
    on_gap: OnGap = "continue"
    overflow: Overflow = "resume"
    max_lag: int = 1000
    conflate_by: Callable[[Event], Hashable] | None = None
    filter: Callable[[Event], bool] | None = None

    def __post_init__(self) -> None:
        _check_choice("on_gap", self.on_gap, get_args(OnGap))
        _check_choice("overflow", self.overflow, get_args(Overflow))
        _check_count("backlog", self.backlog, 0)
        _check_count("max_lag", self.max_lag, 1)
        for name in ("conflate_by", "filter"):
            _check_function(name, getattr(self, name))

    def passes(self, event: Event) -> bool:
        """Whether the reader wants this event."""
        if self.filter is None:
            return True
        passes = self.filter(event)
        if type(passes) is not bool and inspect.isawaitable(passes):
            raise ConfigurationError(f"filter={self.filter!r} returned something to be awaited: return a bool")
        return bool(passes)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name}={value!r} is not known: give one of {', '.join(map(repr, choices))}")


def _check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name}={value!r} is no count: give an integer of {least} or more")


def _check_function(name: str, value: Any) -> None:
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(f"{name}={value!r} cannot be called: give a function of an Event, or None")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(value.__call__):
        raise ConfigurationError(
            f"{name}={value!r} is a coroutine function, and is called for each event: look up what it needs before, "
            "and give a plain function"
        )
