"""The floor under the decoders: one in C, built by the system's compiler for the Python that runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmarks.fanout.tools import FOLDER, AbsentError, compiler

__all__ = ["AbsentError", "module"]

_SOURCE = Path(__file__).with_name("floor.c")


@cache
def module() -> ModuleType:
    """Build the extension unless it is there, and import it."""
    library = FOLDER / f"unbroken_floor{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not library.exists() or library.stat().st_mtime < _SOURCE.stat().st_mtime:
        _build(library)
    spec = importlib.util.spec_from_file_location("unbroken_floor", library)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _build(library: Path) -> None:
    headers = sysconfig.get_paths()["include"]
    if not Path(headers, "Python.h").exists():
        raise AbsentError("Python's headers are not installed (Debian: python3-dev)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["-O3", "-shared", "-fPIC", "-Wall", f"-I{headers}"]
    subprocess.run([*compiler(), *options, "-o", str(library), str(_SOURCE)], check=True)
