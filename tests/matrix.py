"""Runs the core tests on old and new frameworks, and on every CPython from 3.11 on that this machine has.

    python tests/matrix.py [--only WORD]

Each combination gets a virtual environment of its own below `.venvs/`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ["tests/wire", "tests/conformance/test_event_stream.py", "tests/stream", "tests/compat"]
TOOLS = ["pytest>=8.3", "pytest-timeout>=2.3"]
OLDEST = (3, 11)


@dataclass(frozen=True, slots=True)
class Combination:
    """One interpreter with one age of the frameworks."""

    name: str
    python: str
    packages: tuple[str, ...]


def interpreters() -> dict[str, str]:
    """Return the executables of the CPythons found, newest patch of each minor version, by version."""
    places = [Path(entry) for entry in os.get_exec_path()]
    places += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    found: dict[str, str] = {}
    for place in places:
        for candidate in sorted(place.glob("python3.[0-9]*")):
            if re.fullmatch(r"python3\.\d+", candidate.name):
                version = version_of(candidate)
                if version:
                    found.setdefault(version, str(candidate))
    return dict(sorted(found.items()))


def version_of(python: Path) -> str | None:
    """Return "3.x" for a CPython that is new enough, or None."""
    code = "import sys; print(sys.implementation.name, *sys.version_info[:2])"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode:
        return None
    name, major, minor = run.stdout.split()
    return f"{major}.{minor}" if name == "cpython" and (int(major), int(minor)) >= OLDEST else None


def combinations() -> list[Combination]:
    """Return the newest frameworks on every interpreter, and the old ones on the oldest, which they still run on."""
    found = interpreters()
    every = [Combination(f"python{version}-newest", path, ("fastapi",)) for version, path in found.items()]
    oldest = next(iter(found.values()))
    return [
        *every,
        # FastAPI pins the Starlette of its age: 0.14.2 and 0.26.1.
        Combination("fastapi0.65", oldest, ("fastapi==0.65.3", "pydantic<2")),
        Combination("fastapi0.95", oldest, ("fastapi==0.95.2", "pydantic<2")),
        Combination("starlette-only", oldest, ("starlette",)),
    ]


def run(combination: Combination) -> bool:
    """Make the environment and run the core tests in it."""
    home = ROOT / ".venvs" / combination.name
    python = home / "bin" / "python"
    print(f"\n== {combination.name} ({combination.python})", flush=True)
    if not python.exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([combination.python, "-m", "venv", home], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", str(ROOT)]
    subprocess.run([*install, *TOOLS, *combination.packages], check=True)
    test = [str(python), "-m", "pytest", "-q", "-m", "core", "-p", "no:cacheprovider", *CORE]
    return subprocess.run(test, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Run what was asked for; the exit code says whether all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the combinations whose name contains this")
    only = parser.parse_args().only
    results = {combination.name: run(combination) for combination in combinations() if only in combination.name}
    print()
    for name, passed in results.items():
        print(f"{'passed' if passed else 'FAILED'}  {name}")
    return 0 if results and all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
