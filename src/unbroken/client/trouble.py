"""What a client writes to the log: once that a stream broke, and once that it is back."""

from __future__ import annotations

import logging

from unbroken.client.state import ReadyState, StateChange

__all__ = ["Trouble"]

logger = logging.getLogger("unbroken.client")


class Trouble:
    """Whether the reader of one stream is in trouble, and whether that was said."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said = False

    def note(self, change: StateChange) -> None:
        """Say what is new of a change: not each attempt of an outage, nor an end in good order."""
        if change.state is ReadyState.OPEN and self._said:
            self._said = False
            logger.info("%s is open again", change.url)
        elif change.state is ReadyState.CONNECTING and change.error is not None and not self._said:
            self._said = True
            logger.warning("%s; the next attempt is in %.1f s", change.error, change.delay or 0.0)
