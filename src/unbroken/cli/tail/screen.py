"""A terminal with a line at its bottom, or two pipes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

import typer

from unbroken.cli.diagnosis.output import console
from unbroken.cli.output import in_one_line, tell, write

__all__ = ["Screen"]

REDRAW_INTERVAL = 0.05
"""Seconds between two drawings of the bottom line because of events."""

_ERASE_LINE = "\r\x1b[K"


class Screen:
    """Writes events to standard output and notices to standard error, and keeps the bottom line out of their way.

    Args:
        quiet: No notices, and no bottom line.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._out, self._err = console(), console(stderr=True)
        # Where only one of the two is a terminal, what another program writes there would mix with the bottom line.
        both = all(out is not None and out.isatty() for out in (sys.stdout, sys.stderr))
        self.has_bottom = both and not quiet and not self._err.is_dumb_terminal
        self._bottom = ""
        self._is_drawn = False
        self._drawn_at = 0.0

    @property
    def is_coloured(self) -> bool:
        """Whether standard output is to have colours."""
        return self._out.color_system is not None and not self._out.no_color

    def line(self, text: str) -> None:
        """Write a line to standard output.

        Raises:
            BrokenPipeError: nobody reads any more.
            OutputLost: it cannot be written.
        """
        self._above_bottom(lambda: write(text))

    def notice(self, text: str, *, colour: str | None = None) -> None:
        """Tell something on standard error, unless it is to be quiet."""
        if not self._quiet:
            said = f"unbroken tail: {in_one_line(text)}"
            self._above_bottom(lambda: tell(self._styled(said, colour)))

    def show_bottom(self, text: str) -> None:
        """Show this at the bottom, instead of what was there; `""` for nothing."""
        self._bottom = text
        self._put(_ERASE_LINE + self._fitting())

    def _above_bottom(self, write_it: Callable[[], None]) -> None:
        if self._is_drawn:
            self._put(_ERASE_LINE)
        write_it()
        # In a flood a terminal has enough to do with the events: there the bottom line comes with its next text.
        if self._bottom and time.monotonic() - self._drawn_at > REDRAW_INTERVAL:
            self._put(self._fitting())

    def _fitting(self) -> str:
        # One column less: in the last one some terminals begin a new line already.
        return self._styled(self._bottom[: self._err.width - 1], "bright_black") if self._bottom else ""

    def _styled(self, text: str, colour: str | None) -> str:
        plain = colour is None or self._err.color_system is None or self._err.no_color
        return text if plain else typer.style(text, fg=colour)

    def _put(self, text: str) -> None:
        self._is_drawn = text != _ERASE_LINE
        self._drawn_at = time.monotonic() if self._is_drawn else self._drawn_at
        # A terminal that is gone says so where it matters: at the next event.
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()
