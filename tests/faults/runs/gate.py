"""What holds runs back from their end, in all processes, until something has come about."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Gate"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A file that is there once it was opened; one that nobody opens holds whoever waits until he is cancelled."""

    folder: Path
    name: str

    def open(self) -> None:
        """Let all pass, now and later."""
        self._path.touch()

    async def passed(self, pause: float) -> None:
        """Wait until it is open, looking so often."""
        while not self._path.exists():
            await asyncio.sleep(pause)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.gate"
