"""Entries as the engine keeps and publishes them: text before the payload, never behind it, and no escapes.

An entry is `tag:previous:microseconds:payload`. A publication is `epoch:seq:closed:` of its first entry,
and then for each entry its length, a colon, and the entry; or `-`, where they are to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unbroken.logs.contract import Appended, Draft, Entry, Head, Page
from unbroken.logs.position import Position

__all__ = ["Publication", "appended_of", "duplicate_of", "entry_of", "page_of", "publication_of"]


@dataclass(frozen=True, slots=True)
class Publication:
    """What was told of a topic."""

    epoch: str
    entries: tuple[Entry, ...]
    closed: bool
    complete: bool
    """All that there is to tell is here; else the log is to be read."""


def entry_of(seq: int, kept: bytes) -> Entry:
    """Read an entry."""
    tag, previous, stamp, payload = kept.split(b":", 3)
    return Entry(seq, tag.decode(), previous.decode(), payload, int(stamp) / 1e6)


def page_of(reply: Sequence[Any]) -> Page:
    """Read what the script `read` returned."""
    epoch, seq, tag, closed, kept, first, *entries = reply
    head = Head(epoch.decode(), int(seq), tag.decode(), int(seq) - int(kept) + 1, closed == b"1")
    return Page(head, tuple(entry_of(number, entry) for number, entry in enumerate(entries, int(first))))


def appended_of(reply: bytes, tags: Sequence[str], drafts: Sequence[Draft]) -> Appended:
    """Read what the script `append` returned of entries that it appended."""
    epoch, last, previous, stamp = reply.decode().split(":")
    seq, at, entries = int(last) - len(drafts), int(stamp) / 1e6, list[Entry]()
    tag = previous
    for draft, own in zip(drafts, tags, strict=True):
        seq, tag, before = seq + 1, own, tag
        entries.append(Entry(seq, tag, before, draft.payload, at))
    return Appended(epoch, tuple(entries), Position(epoch, seq, tag))


def duplicate_of(reply: Sequence[Any], candidate: str) -> Appended:
    """Read what the script `append` returned of a key that was used.

    The candidate for the epoch is random: with ours it was this very call, whose first answer was lost.
    """
    epoch, use, rows = reply[0].decode(), reply[1].decode(), reply[2]
    _first, seq, tag, named = use.split(":")
    entries = tuple(entry_of(int(name.partition(b"-")[0]), fields[1]) for name, fields in rows)
    return Appended(epoch, entries, Position(epoch, int(seq), tag), duplicate=named != candidate)


def publication_of(message: bytes) -> Publication:
    """Read a publication."""
    epoch, first, closed, body = message.split(b":", 3)
    if body == b"-":
        return Publication(epoch.decode(), (), closed == b"1", complete=False)
    entries, seq, at = list[Entry](), int(first), 0
    while at < len(body):
        colon = body.index(b":", at)
        start, at = colon + 1, colon + 1 + int(body[at:colon])
        entries.append(entry_of(seq, body[start:at]))
        seq += 1
    return Publication(epoch.decode(), tuple(entries), closed == b"1", complete=True)
