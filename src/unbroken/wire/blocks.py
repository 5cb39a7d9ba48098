"""Whole blocks to their fields at the speed of C: the way that nearly all of a stream goes.

A block is what a blank line ends. Nearly all are written by a program that always
writes the same: `data` alone, or an `id` and an `event` before it. Those are cut by
`str.split` or by one regular expression, many at a time, and all that is left
to do for each is to make its event. Any other block is odd, and is read line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from unbroken.wire.lines import LF

__all__ = ["GROUP_BYTES", "end_of_blocks", "find_blocks", "groups", "plain_data", "with_more"]

GROUP_BYTES = 16 * 1024
"""Text of this length is in the processor's cache, and its pieces are in memory that was used a moment ago."""

# One match is one block with its blank line; between blocks there are only more blank lines, which findall passes over.
# Possessive where one character is repeated: no value is tried twice, and the one space after a colon is never given
# back to it. Not where a group is: up to Python 3.11.4 that goes wrong (python/cpython#106052).
# findall has "" for what is absent, so a block is odd in which "" would mean something: an empty ID resets the last one
# (WHATWG 9.2.6). It is odd with NUL in its ID, too, which is to be ignored.
find_blocks = re.compile(
    r"(?:event: ?+(.*+)\n)?"
    r"(?:id: ?+([^\n\0]++)\n)?"
    r"(?:event: ?+(.++)\n)?"
    r"data: ?+(.++)\n((?:data:.*+\n)*)\n"
    r"|:.*+\n\n"
    r"|((?:.++\n)+)\n"
).findall
"""Gives for each block of a text its event type, its ID, its event type again, its first line of data, and its others
as they came; or, last, the lines of an odd block. What is absent is "", and all is of a block that is one comment."""

_DATA = re.compile(r"data: ?+(.*+)\n")
_BETWEEN_PLAIN = "\n\ndata: "
_NEAR = 1024


def end_of_blocks(chunk: bytes, start: int) -> int:
    """Return where the last blank line in `chunk[start:]` ends; `start` if there is none."""
    # A search for two bytes takes a hundred times as long as one for one byte, so not through a long incomplete line.
    blank_line = chunk.rfind(b"\n\n", start, chunk.rfind(LF, start) + 1)
    return start if blank_line < 0 else blank_line + 2


def groups(blocks: bytes, start: int, end: int) -> Iterator[bytes]:
    """Yield `blocks[start:end]`, which ends in a blank line, in groups of whole blocks: short ones together."""
    while end - start > GROUP_BYTES:
        cut = blocks.rfind(b"\n\n", start, start + GROUP_BYTES)
        if cut < 0:
            cut = blocks.find(LF, start + GROUP_BYTES - 1)
            while blocks[cut + 1] != LF:
                cut = blocks.find(LF, cut + 1)
        yield blocks[start : cut + 2]
        start = cut + 2
    yield blocks[start:end]


def plain_data(text: str) -> list[str] | None:
    """Return the data of several short blocks, if like the first, `data: …`, all are of that one line; None if not."""
    # In long blocks the search for so many characters is slower than that for a line's end.
    if text.find(_BETWEEN_PLAIN, 0, _NEAR) < 0:
        return None
    data = text.split(_BETWEEN_PLAIN)
    # Two line ends a block: one more would be within a value, where it begins another field.
    if text.count("\n") != 2 * len(data):
        return None
    data[0] = data[0][6:]
    data[-1] = data[-1][:-2]
    return data


def with_more(data: str, more: str) -> str:
    """Return the data of several lines, the first of which is read already."""
    return "\n".join([data, *_DATA.findall(more)])
