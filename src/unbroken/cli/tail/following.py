"""An event stream as it comes, line by line."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from unbroken.cli.output import shown
from unbroken.cli.tail.lines import Form
from unbroken.cli.tail.progress import Progress
from unbroken.cli.tail.screen import Screen
from unbroken.client import DecodedEvent, EventSource, Gap, ReadyState, StateChange

__all__ = ["Tail"]


class Tail:
    """Writes what a reader gets.

    Args:
        screen: Where to.
        form: How.
        types: Only events of these types; of all, if there are none.
        count: So many of them; None for all until the stream ends.
        strict: Only up to the first gap.
        patient: A first connection that cannot be made is tried again, as all later ones are.
    """

    def __init__(
        self, screen: Screen, form: Form, *, types: Collection[str], count: int | None, strict: bool, patient: bool
    ) -> None:
        self._screen = screen
        self._form = form
        self._types = types
        self._left = float("inf") if count is None else count
        self._strict = strict
        self._patient = patient
        self._progress: Progress | None = None
        self._is_away = False
        self.has_begun = False
        """Whether the stream was open, so that it is followed."""
        self.gaps = 0
        self.cursor = ""
        """The ID behind all that was written, `""` if the server tells none."""

    async def follow(self, source: EventSource) -> None:
        """Write the events of a reader that calls `changed`, until it was enough or the stream ends.

        Raises:
            EventSourceError: there is no stream, or no way to go on with it.
        """
        self._progress = Progress(self._screen, lambda: source.stats)
        async with self._progress.shown(), source as events:
            self.cursor = events.last_event_id
            async for event in events:
                self._left -= self._take(event)
                self.cursor = events.last_event_id
                if self._left <= 0 or (self._strict and self.gaps):
                    return
        self._screen.notice("the stream has ended: nothing more comes")

    def tell_place(self) -> None:
        """Tell how to go on behind what was written, if what is shown of the ID is the ID."""
        if self.cursor and _is_shown_as_it_is(self.cursor):
            # Whoever gave the ID shall not give a command to the shell into which it is pasted.
            self._screen.notice(f"to go on from here: --after {shlex.quote(self.cursor)}")

    def _take(self, event: DecodedEvent) -> bool:
        """Write what is to be written, and return whether it was an event."""
        if isinstance(event, Gap):
            self._tell(event)
            return False
        wanted = not self._types or event.event in self._types
        if wanted:
            self._screen.line(self._form.line(event))
        return wanted

    def _tell(self, gap: Gap) -> None:
        self.gaps += 1
        self._screen.notice(f"gap: {gap}", colour="yellow")
        line = self._form.gap(gap)
        if line is not None:
            self._screen.line(line)

    def changed(self, change: StateChange) -> None:
        """Tell of a stream that is away, and of one that is back."""
        if self._progress is not None:
            self._progress.changed(change)
        if change.state is ReadyState.OPEN:
            self._say_open(change)
        elif change.delay is not None and (self.has_begun or self._patient):
            self._say_away(change, change.delay)
        elif change.delay is not None and change.error is not None:
            # Most likely the URL is wrong, and no second attempt would be better. What is raised here ends the reading.
            raise change.error

    def _say_open(self, change: StateChange) -> None:
        if self._is_away:
            # One with control characters cannot be sent, which the client has a warning for.
            place = change.last_event_id if _is_shown_as_it_is(change.last_event_id) else ""
            self._screen.notice(
                f"open{' again' if self.has_begun else ''}{place and f', after {place}'}", colour="green"
            )
        self._is_away = False
        self.has_begun = True

    def _say_away(self, change: StateChange, delay: float) -> None:
        self._is_away = True
        ended = "the stream ended" if change.reason is None else f"the server ended the stream ({change.reason})"
        why = ended if change.error is None else str(change.error)
        self._screen.notice(f"{why.removeprefix(change.url).lstrip(': ')}; again in {delay:.1f} s", colour="yellow")


def _is_shown_as_it_is(last_event_id: str) -> bool:
    return shown(last_event_id) == last_event_id
