"""The command `unbroken`."""

from __future__ import annotations

import sys
from typing import NoReturn

from unbroken.errors import MissingExtraError

__all__ = ["main"]

EXTRA = "demo"
"""Brings everything that any command needs."""
LIBRARIES = frozenset({"typer", "rich", "uvicorn"})


def main() -> None:
    """Run the command line; a library that is missing is named in one line, with exit code 2."""
    try:
        from unbroken.cli.commands import app

        app()
    except MissingExtraError as exc:
        _give_up(exc)
    except ModuleNotFoundError as exc:
        library = (exc.name or "").partition(".")[0]
        if library not in LIBRARIES:
            raise
        _give_up(MissingExtraError(library, EXTRA))


def _give_up(error: MissingExtraError) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)  # 1 says that something was found
