"""The command `unbroken`."""

from __future__ import annotations

import sys

from unbroken.errors import MissingExtraError

__all__ = ["main"]

EXTRA = "demo"
"""Brings everything that any command needs."""
LIBRARIES = frozenset({"typer", "rich", "uvicorn", "libcst", "h11", "h2"})


def main() -> None:
    """Run the command line; a library that is missing is named in one line, with exit code 1."""
    try:
        from unbroken.cli.commands import app

        app()
    except ModuleNotFoundError as exc:
        library = (exc.name or "").partition(".")[0]
        if library not in LIBRARIES:
            raise
        sys.exit(str(MissingExtraError(library, EXTRA)))
