"""The arguments that say how topics are read."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.hub.support import event
from unbroken.errors import ConfigurationError
from unbroken.hub.event import Event
from unbroken.hub.reading import Reading


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"on_gap": "raise"}, "on_gap='raise' is not known: give one of 'continue', 'earliest', 'latest', 'close'"),
        (
            {"overflow": "drop"},
            "overflow='drop' is not known: give one of 'resume', 'drop_oldest', 'conflate', 'close'",
        ),
        ({"backlog": -1}, "backlog=-1 is no count: give an integer of 0 or more"),
        ({"backlog": True}, "backlog=True is no count"),
        ({"backlog": "5"}, "backlog='5' is no count"),
        ({"max_lag": 0}, "max_lag=0 is no count: give an integer of 1 or more"),
        ({"max_lag": 1.5}, "max_lag=1.5 is no count"),
        ({"filter": "x"}, "filter='x' cannot be called: give a function of an Event, or None"),
        ({"conflate_by": 1}, "conflate_by=1 cannot be called"),
    ],
)
def test_an_argument_that_is_none_of_its_values_is_named(arguments: dict[str, Any], words: str) -> None:
    """The error says which, the value, and what it may be."""
    with pytest.raises(ConfigurationError) as caught:
        Reading(**arguments)
    assert words in str(caught.value)


def test_a_filter_decides_by_truth() -> None:
    """Whatever it returns counts as true or false; without one all pass."""
    assert Reading().passes(event(1))
    wanting = Reading(filter=lambda event: event.data == "2")
    assert [wanting.passes(event(seq)) for seq in (1, 2, 3)] == [False, True, False]


async def look_up(event: Event) -> bool:
    """Ask a database."""
    return False


class LookUp:
    """As above, with a state."""

    async def __call__(self, event: Event) -> bool:
        return False


@pytest.mark.parametrize("function", [look_up, LookUp(), partial(look_up)])
@pytest.mark.parametrize("name", ["filter", "conflate_by"])
def test_a_coroutine_function_is_refused(name: str, function: Any) -> None:
    """What it returns would always be true, and so would let everything through."""
    with pytest.raises(ConfigurationError, match=f"{name}=.* is a coroutine function.* give a plain function"):
        Reading(**{name: function})
