"""What topics may be called."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from unbroken.errors import ConfigurationError, TopicNameError
from unbroken.hub.cursor import MAX_TOPICS

__all__ = ["CLUSTER", "INTERNAL", "REVOKED", "check_topic", "check_topics"]

MAX_NAME_CHARS = 256

INTERNAL = "$"
"""What the names of topics begin with that are the hub's own."""

CLUSTER = f"{INTERNAL}cluster"
"""In which the processes ask each other for their numbers."""
REVOKED = f"{INTERNAL}revoked"
"""In which they tell whose streams are to end."""


def check_topic(topic: object) -> str:
    """Return a topic's name, or raise.

    Raises:
        TopicNameError: it is no str, empty, longer than 256 characters, holds control characters or lone
            surrogates, or begins with `$`.
    """
    if not isinstance(topic, str):
        raise TopicNameError(f"topic={topic!r} is a {type(topic).__name__}: a topic's name is a str")
    if not 0 < len(topic) <= MAX_NAME_CHARS:
        raise TopicNameError(
            f"topic={topic[:40]!r} has {len(topic)} characters: give 1 to {MAX_NAME_CHARS}, or a digest of it"
        )
    if topic.startswith(INTERNAL):
        raise TopicNameError(f"topic={topic!r} begins with {INTERNAL!r}: such names are the hub's own")
    odd = next((character for character in topic if unicodedata.category(character) in ("Cc", "Cs")), None)
    if odd is not None:
        raise TopicNameError(f"topic={topic!r} holds {odd!r}: leave out what cannot be printed")
    return topic


def check_topics(topics: Sequence[object]) -> tuple[str, ...]:
    """Return the names of one connection's topics, sorted.

    Raises:
        ConfigurationError: one is none, there is none, one stands there twice, or there are more than 32.
    """
    names = sorted(map(check_topic, topics))
    if not 0 < len(names) <= MAX_TOPICS:
        raise ConfigurationError(
            f"{len(names)} topics were given: one connection reads 1 to {MAX_TOPICS}. For more, publish to a topic of "
            "the reader's own"
        )
    twice = next((name for name, following in pairwise(names) if name == following), None)
    if twice is not None:
        raise ConfigurationError(f"topic {twice!r} was given twice")
    return tuple(names)
