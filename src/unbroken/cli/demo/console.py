"""What the demo's processes say in the terminal: one line for each thing that is logged."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

__all__ = ["log_to_console"]


class _Lines(logging.Handler):
    """One line on the console for each that is logged."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%X"))
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line, as long as it is: a narrow terminal wraps it better than we would."""
        self._console.print(self.format(record), markup=False, soft_wrap=True)


def log_to_console(
    console: Console | None = None, passes: Callable[[logging.LogRecord], bool] = lambda line: True
) -> None:
    """Let the console say what is logged, if it passes."""
    handler = _Lines(console or Console())
    handler.addFilter(passes)
    for name, level in (("unbroken", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
