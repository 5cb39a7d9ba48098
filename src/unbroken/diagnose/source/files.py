"""Which files are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from unbroken.errors import DiagnosisError

__all__ = ["python_files"]

NOT_ONES_OWN: Final = frozenset({
    ".bzr", ".direnv", ".eggs", ".git", ".hg", ".ipynb_checkpoints", ".mypy_cache", ".nox", ".pyenv", ".pytest_cache",
    ".ruff_cache", ".svn", ".tox", ".venv", ".venvs", "__pycache__", "__pypackages__", "build", "dist", "node_modules",
    "site-packages", "venv",
})  # fmt: skip


def python_files(paths: Iterable[Path], exclude: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the `.py` files in `paths`, sorted within each; a file that is named is taken whatever it is called.

    Raises:
        DiagnosisError: A path that is not there.
    """
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from _walk(path, exclude)
        else:
            raise DiagnosisError(f"{path}: there is no such file or directory")


def _walk(root: Path, exclude: tuple[str, ...]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if name not in NOT_ONES_OWN and not _out(here / name, exclude))
        for name in sorted(names):
            path = here / name
            # Opening a FIFO would wait for a writer. A link that leads nowhere is passed on, to be told of.
            is_ours = name.endswith(".py") and (path.is_file() or path.is_symlink())
            if is_ours and not _out(path, exclude):
                yield path


def _out(path: Path, exclude: tuple[str, ...]) -> bool:
    return any(path.match(pattern) for pattern in exclude)
