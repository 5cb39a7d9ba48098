"""The arguments of a client: what is refused, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest

from unbroken.client import EventSource, SyncEventSource
from unbroken.client.options import Options
from unbroken.errors import ConfigurationError
from unbroken.wire import DecodedEvent

from .sessions import DEFAULTS


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("reconnect", "sometimes"),
        ("gaps", "maybe"),
        ("reconnect_delay", -1),
        ("max_delay", float("inf")),
        ("max_delay", True),
        ("max_attempts", 0),
        ("max_attempts", 1.5),
        ("reconnect_timeout", "3"),
        ("connect_timeout", 0),
        ("idle_timeout", 0),
        ("idle_timeout", "often"),
        ("idle_timeout", 1e9),
        ("retry_statuses", [503, 1000]),
        ("retry_statuses", ["503"]),
        ("retry_statuses", 503),
        ("last_event_id", 5),
        ("params", "a=b"),
        ("headers", [("a", "b")]),
        ("content", iter([b"a"])),
        ("end", 5),
        ("max_line_bytes", 0),
        ("max_event_bytes", -5),
        ("last_event_id", "a\nb"),
        ("last_event_id", "a\0b"),
        ("store", 5),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: Any) -> None:
    """The error names the argument and the value, when the client is made."""
    for kind in (EventSource, SyncEventSource):
        with pytest.raises(ConfigurationError, match=argument):
            kind("http://localhost/", **{argument: value})


@pytest.mark.parametrize(("method", "policy"), [("GET", "always"), ("get", "always"), ("POST", "never")])
def test_only_a_get_is_repeated(method: str, policy: str) -> None:
    """A request that may have been carried out is not sent again, unless the caller says so."""
    assert Options.checked(**(DEFAULTS | {"method": method})).reconnect == policy
    assert Options.checked(**(DEFAULTS | {"method": method, "reconnect": "faults"})).reconnect == "faults"


def test_an_end_may_be_data() -> None:
    """A text stands for the event with exactly this data."""
    end = Options.checked(**(DEFAULTS | {"end": "[DONE]"})).end
    assert end is not None
    assert end(DecodedEvent("message", "[DONE]", ""))
    assert not end(DecodedEvent("message", "[DONE] ", ""))
