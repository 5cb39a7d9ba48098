"""The producers that have a name, by which another process can start them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unbroken.errors import ConfigurationError, EncodeError
from unbroken.runs.producing import Producer, check_producer
from unbroken.wire.json_data import to_json

__all__ = ["Registry", "check_name", "check_restartable"]


def check_name(name: object) -> None:
    """Refuse what is no name.

    Raises:
        ConfigurationError: it is no str, or empty.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"name={name!r} is none: give a str, the same in each process")


class Registry:
    """Producers by their names."""

    def __init__(self) -> None:
        self._by_name: dict[str, Callable[..., Any]] = {}

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Give a function a name.

        Raises:
            ConfigurationError: the name is another function's.
        """
        if self._by_name.get(name, function) is not function:
            raise ConfigurationError(f"a producer {name!r} is there already: give each its own name")
        check_producer(function, ())
        self._by_name[name] = function

    def get(self, name: str) -> Callable[..., Any] | None:
        """Return the function of a name."""
        return self._by_name.get(name)

    def has(self, name: str) -> bool:
        """Whether this process can start it."""
        return name in self._by_name

    def resolve(self, producer: Producer | str) -> tuple[Producer, str]:
        """Return a producer, and its name; empty if it has none.

        Raises:
            ConfigurationError: a name that nothing has.
        """
        if isinstance(producer, str):
            found = self._by_name.get(producer)
            if found is None:
                raise ConfigurationError(f"there is no producer {producer!r}: register it with @runs.producer(name)")
            return found, producer
        return producer, next((name for name, known in self._by_name.items() if known is producer), "")


def check_restartable(name: str, args: Sequence[object]) -> None:
    """Refuse to promise another process what it could not do.

    Raises:
        ConfigurationError: the producer has no name, or the arguments no form in JSON.
    """
    if not name:
        raise ConfigurationError(
            "on_orphan='restart' has another process start the producer: register it there and here with "
            "@runs.producer(name)"
        )
    try:
        to_json(list(args))
    except EncodeError as exc:
        raise ConfigurationError(f"on_orphan='restart' keeps the arguments as JSON: {exc}") from exc
