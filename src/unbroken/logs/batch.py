"""What every log does with a batch: check it, and make linked entries of it."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.errors import ConfigurationError, Fenced, TopicClosed
from unbroken.logs.contract import Draft, Entry
from unbroken.logs.position import MAX_SEQ, new_token

__all__ = ["check_batch", "check_name", "check_state", "link", "new_epoch"]

EPOCH_BYTES = 6
"""Epochs of one name are told apart by chance: 2**-48 for each life it had before."""

TAG_BYTES = 4
"""A fork is seen by tags that differ: one in 2**32 would go unseen. Each id on the wire has a tag, so it is short."""


def check_batch(topic: str, drafts: Sequence[Draft], key: str | None, fence: int | None, close: bool) -> None:
    """Refuse what no log can append.

    Raises:
        ConfigurationError: the batch is empty and does not close, the fence is no integer of 64 bits, or the topic or
            the key is no text (it has a lone surrogate).
    """
    check_name("topic", topic)
    if key is not None:
        check_name("key", key)
    if not drafts and not close:
        raise ConfigurationError(f"the batch for topic {topic!r} is empty: give a draft, or close=True")
    if fence is not None and not -MAX_SEQ <= fence <= MAX_SEQ:
        raise ConfigurationError(f"fence={fence} for topic {topic!r} is beyond 64 bits: give a number up to {MAX_SEQ}")


def check_name(what: str, name: str) -> None:
    """Refuse a name that cannot be written down.

    Raises:
        ConfigurationError: it has a lone surrogate, as text has that was decoded with `surrogateescape`.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"the {what} {name!r} cannot be written as UTF-8: {error.reason}") from None


def check_state(topic: str, closed: bool, highest: int | None, fence: int | None) -> None:
    """Refuse a batch that the topic takes no more.

    Raises:
        TopicClosed: the topic was closed.
        Fenced: `fence` is lower than the `highest` that was used.
    """
    if closed:
        raise TopicClosed(f"topic {topic!r} was closed: nothing can be appended to it any more")
    if fence is not None and highest is not None and fence < highest:
        raise Fenced(f"topic {topic!r} was taken over: fence {fence} is lower than {highest}, which was used since")


def link(drafts: Sequence[Draft], seq: int, tag: str, now: float) -> tuple[Entry, ...]:
    """Return the entries that follow the one with this `seq` and `tag`."""
    entries = list[Entry]()
    for draft in drafts:
        seq, previous, tag = seq + 1, tag, new_token(TAG_BYTES)
        entries.append(Entry(seq, tag, previous, draft.payload, now))
    return tuple(entries)


def new_epoch() -> str:
    """Return an epoch for a topic that begins."""
    return new_token(EPOCH_BYTES)
