"""What a place to publish at can be made with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hub.bridge.support import TOKEN, publish_app
from unbroken.errors import ConfigurationError
from unbroken.hub import Hub

SECRET = "schön-und-lang-genug"  # no token: it has an ö


@pytest.mark.parametrize(
    "tokens", ["", [], (), {}, [""], [TOKEN, ""], {"": "*"}, [None], "short", SECRET, "two words of it"]
)
def test_not_without_a_token(tokens: Any) -> None:
    """Nothing that is open to all, or to whoever guesses, comes of a variable that is not set; no text shows one."""
    with pytest.raises(ConfigurationError, match="tokens=") as caught:
        publish_app(Hub("memory://"), tokens=tokens)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", 0),
        ("rate", -1.0),
        ("rate", float("nan")),
        ("rate", "fast"),
        ("burst", 0.5),
        ("burst", True),
        ("body_timeout", 0),
        ("body_timeout", float("inf")),
        ("topics", [""]),
        ("topics", [1]),
    ],
)
def test_a_value_that_is_none(name: str, value: Any) -> None:
    """It is named."""
    with pytest.raises(ConfigurationError, match=f"{name}="):
        publish_app(Hub("memory://"), **{name: value})
