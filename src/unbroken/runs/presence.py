"""Who watches a run: for those that are to end when nobody does."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Literal

from unbroken.errors import CloseReason, ConfigurationError, LogError
from unbroken.observe import logger
from unbroken.runs.desk import Desk
from unbroken.runs.names import CONTROL

__all__ = ["CancelWhenUnwatched", "OnDisconnect", "Presence", "Readers", "patience_of"]

FIRST_READER = 10.0
"""Seconds that the first reader has to come: the response to who started it may still be on its way."""
RETURNING = 10.0
"""Seconds for a reader who comes back: his client did not leave, the server ended his stream."""

RETRY_INTERVAL = 1.0

LEFT = (CloseReason.CLIENT_CLOSED, CloseReason.WRITE_FAILED, CloseReason.SEND_TIMEOUT)


@dataclass(frozen=True, slots=True)
class CancelWhenUnwatched:
    """Cancel a run when it has had no reader for so many seconds.

    Raises:
        ConfigurationError: it is no number of seconds, 0 or more.
    """

    after: float

    def __post_init__(self) -> None:
        number = isinstance(self.after, int | float) and not isinstance(self.after, bool)
        if not number or not 0 <= self.after < math.inf:
            raise ConfigurationError(f"after={self.after!r} is not a time: give seconds, 0 or more")


OnDisconnect = Literal["continue", "cancel"] | CancelWhenUnwatched


def patience_of(on_disconnect: object) -> float | None:
    """Return for how long a run goes on without readers; None for ever.

    Raises:
        ConfigurationError: it is none of its values.
    """
    if isinstance(on_disconnect, CancelWhenUnwatched):
        return on_disconnect.after
    if on_disconnect not in ("continue", "cancel"):
        raise ConfigurationError(
            f"on_disconnect={on_disconnect!r} is not known: give 'continue', 'cancel' or CancelWhenUnwatched(seconds)"
        )
    return 0.0 if on_disconnect == "cancel" else None


class Presence:
    """The processes in which a run has readers; kept by the one that produces it."""

    def __init__(self, after: float, on_unwatched: Callable[[], None]) -> None:
        self.processes: set[str] = set()
        self._after = after
        self._on_unwatched = on_unwatched
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._wait(FIRST_READER)

    def take(self, payload: bytes, own: str) -> None:
        """Hear what another process says; of our own readers we know, and what we said of them is old."""
        said = json.loads(payload)
        if own in (said.get("watch"), said.get("unwatch")):
            return
        if "watch" in said:
            self.come(said["watch"])
        elif "unwatch" in said:
            self.go(said["unwatch"], said["grace"])

    def come(self, process: str) -> None:
        """Note that a process has readers."""
        self.processes.add(process)
        self.close()

    def go(self, process: str, grace: float = RETURNING) -> None:
        """Note that it has none any more; they may come back within `grace` seconds."""
        if process in self.processes:
            self.processes.discard(process)
            if not self.processes:
                self._wait(grace)

    def stop(self) -> None:
        """Count for nothing any more: this process is shutting down, and readers that it ended cannot come back."""
        self._is_over = True
        self.close()

    def close(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, grace: float) -> None:
        self.close()
        if self._is_over:
            return
        delay = max(self._after, grace)
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_unwatched, context=Context())


@dataclass(slots=True)
class _Here:
    """The readers that one run has in this process, and what was said of them."""

    count: int = 0
    grace: float = 0.0
    told: bool = False
    telling: asyncio.Task[None] | None = field(default=None)


class Readers:
    """The readers in this process of runs that end when nobody watches."""

    def __init__(self, desk: Desk, process: str, presence_of: Callable[[str], Presence | None]) -> None:
        self._desk = desk
        self._process = process
        self._presence_of = presence_of
        self._here: dict[str, _Here] = {}

    def come(self, run: str) -> None:
        """Count a reader."""
        here = self._here.setdefault(run, _Here())
        here.count += 1
        self._tell(run, here)

    def go(self, run: str, reason: CloseReason) -> None:
        """Count one out."""
        here = self._here[run]
        here.count -= 1
        here.grace = 0.0 if reason in LEFT else RETURNING
        self._tell(run, here)

    def tell_again(self, run: str) -> None:
        """Tell who has a run now of its readers here."""
        if run in self._here:
            self._here[run].told = False
            self._tell(run, self._here[run])

    def has(self, run: str) -> bool:
        """Whether a run has readers here."""
        return run in self._here and self._here[run].count > 0

    async def close(self) -> None:
        """Tell nobody any more."""
        tasks = [here.telling for here in self._here.values() if here.telling is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _tell(self, run: str, here: _Here) -> None:
        presence = self._presence_of(run)
        if presence is not None:
            (presence.come if here.count else lambda process: presence.go(process, here.grace))(self._process)
            self._forget(run, here)
        elif here.telling is None and bool(here.count) != here.told:
            task = asyncio.get_running_loop().create_task(self._say(run, here), name="unbroken run", context=Context())
            here.telling = None if task.done() else task
        else:
            self._forget(run, here)

    async def _say(self, run: str, here: _Here) -> None:
        """Tell the process that has the run, until what was told is so."""
        try:
            while bool(here.count) != here.told:
                watched = bool(here.count)
                word = "watch" if watched else "unwatch"
                said = json.dumps({word: self._process, "grace": here.grace}).encode()
                try:
                    await self._desk.append(CONTROL + run, [said])
                    here.told = watched
                except LogError as exc:
                    logger.warning("that run %r has readers here, or none, is said later: %s", run, exc)
                    await asyncio.sleep(RETRY_INTERVAL)
        finally:
            here.telling = None
            self._forget(run, here)

    def _forget(self, run: str, here: _Here) -> None:
        if not here.count and here.telling is None:
            self._here.pop(run, None)
