"""Where an event stands in its topic, as its id on the wire says it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

__all__ = ["MAX_SEQ", "Position", "new_token"]

MAX_SEQ = 2**63 - 1
"""The largest `seq`: a signed integer of 64 bits, as engines have it."""

TOKEN_BYTES = 8
"""The most bytes of an epoch or a tag; twice as many hexadecimal digits."""

# re.ASCII: \d would take digits of other scripts, which int() reads too.
_TEXT = re.compile(r"((?:[0-9a-f]{2}){1,8})\.(0|[1-9][0-9]{0,18})\.((?:[0-9a-f]{2}){0,8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """The place of one event in the history of its topic. Opaque: compare for equality, keep, and hand back.

    Attributes:
        epoch: The life of the topic. Another one means that history was lost. 2 to 16 hexadecimal digits, even.
        seq: Counts the topic's events in this epoch from 1; 0 is before the first.
        tag: Random for each event, so that two histories which count alike are told apart. Empty at 0.
    """

    epoch: str
    seq: int
    tag: str

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}.{self.tag}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read what `str()` wrote; None for anything else. Takes text from clients: any length, any characters."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        epoch, seq, tag = match[1], int(match[2]), match[3]
        return cls(epoch, seq, tag) if seq <= MAX_SEQ and bool(tag) == bool(seq) else None


def new_token(size: int) -> str:
    """Return `size` random bytes in hexadecimal, for an epoch or a tag."""
    return secrets.token_hex(size)
