"""Topics as they grow, line by line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

from unbroken.cli.diagnosis.output import say
from unbroken.cli.output import as_json, shown, write
from unbroken.errors import LogUnavailable, StreamGap
from unbroken.hub import Event, Gap, Subscription

__all__ = ["Tail"]

RETRY_INTERVAL = 1.0
"""Seconds between two tries to read a log that is out of reach."""


class Tail:
    """Writes what a subscription gives."""

    def __init__(self, subscription: Subscription, *, several: bool, json: bool) -> None:
        self._subscription = subscription
        self._several = several
        self._json = json
        self._is_away = False
        self.has_begun = False
        """Whether what is there can be read, so that it follows."""
        self.gaps = 0
        self.cursor: str | None = None
        """What goes on behind all that was written."""

    async def follow(self, count: int | None, *, strict: bool) -> None:
        """Write `count` events, or all until the topics are closed; if `strict`, up to the first gap.

        Raises:
            LogUnavailable: the log cannot be read at the beginning. Later it is waited for.
        """
        left = float("inf") if count is None else count
        async with self._subscription as events:
            self.has_begun = True
            while left > 0:
                try:
                    self._write(await anext(events))
                    left -= 1
                except StopAsyncIteration:
                    say("unbroken hub tail: closed: nothing more comes")
                    return
                except StreamGap as error:
                    self._tell(cast("Gap", error.gap))
                    if strict:
                        return
                except LogUnavailable as error:
                    await self._wait(error)

    def _write(self, event: Event) -> None:
        self._is_away = False
        self.cursor = self._subscription.position
        write(as_json(dict(self._fields(event))) if self._json else self._line(event))

    def _fields(self, event: Event) -> Iterator[tuple[str, object]]:
        yield "topic", event.topic
        yield "id", event.id
        if self._several:
            yield "cursor", self.cursor
        yield "event", event.event
        yield "data", event.data

    def _line(self, event: Event) -> str:
        topic = f"{shown(event.topic)}  " if self._several else ""
        # Each event is one line that can be searched, and what else its data has is indented below.
        data = shown(event.data).replace("\n", "\n    ")
        return f"{topic}{event.id}  {shown(event.event)}  {data}".rstrip()

    def _tell(self, gap: Gap) -> None:
        self.gaps += 1
        say(f"unbroken hub tail: gap: {shown(str(gap))}")
        if self._json:
            write(as_json({"topic": gap.topic, "gap": _as_dict(gap)}))

    async def _wait(self, error: LogUnavailable) -> None:
        if not self._is_away:
            say(f"unbroken hub tail: {error}; waiting for it")
        self._is_away = True
        await asyncio.sleep(RETRY_INTERVAL)


def _as_dict(gap: Gap) -> dict[str, object]:
    return {
        "reason": str(gap.reason),
        "after": None if gap.after is None else str(gap.after),
        "next": None if gap.next is None else str(gap.next),
        "missed": gap.missed,
    }
