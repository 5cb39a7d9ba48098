"""What producers write down beside the log, in a file that survives their process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Fact", "Ledger", "Word", "read_ledger"]

Word = Literal["begun", "sent", "refused", "ended"]


@dataclass(frozen=True, slots=True)
class Fact:
    """What one attempt's producer did: began, was told that an item is kept, was refused one, or saw its end."""

    word: Word
    run: str
    attempt: int
    process: int
    """Its number in the system."""
    number: int
    """Of the item."""


class Ledger:
    """Each line is in the file before the producer goes on."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"{os.getpid()}.ledger"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, word: Word, run: str, attempt: int, number: int = -1) -> None:
        """Write down one fact."""
        os.write(self._file, (json.dumps([word, run, attempt, os.getpid(), number]) + "\n").encode())


def read_ledger(folder: Path) -> Sequence[Fact]:
    """Return all that was written down up to now; a process that is killed may leave half a line."""
    lines = (line for path in folder.glob("*.ledger") for line in path.read_bytes().splitlines(keepends=True))
    return [Fact(*json.loads(line)) for line in lines if line.endswith(b"\n")]
