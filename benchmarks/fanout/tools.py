"""What a run needs beside Python: a C compiler, Node with better-sse, nginx with nchan. What is absent says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmarks.server import ROOT

__all__ = [
    "FOLDER",
    "AbsentError",
    "compiler",
    "floor",
    "generator",
    "module_of_nchan",
    "nginx",
    "node",
    "packages_of_node",
    "words",
]

FOLDER = ROOT / ".venvs" / "bench"
"""Where what is built and downloaded stays; git does not see it."""

_HERE = Path(__file__).parent
_NCHAN = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/lib64/nginx/modules/ngx_nchan_module.so")


class AbsentError(RuntimeError):
    """Something outside this project is not on this machine; the text says what, and how to get it."""


def words(command: list[str]) -> str:
    """Give the last line a command prints, on either output: for versions."""
    if not shutil.which(command[0]):
        return f"no {command[0]}"
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stdout + ran.stderr).strip().splitlines()[-1]


def generator() -> str:
    return _compiled(_HERE / "load.c")


def floor() -> str:
    return _compiled(_HERE / "apps" / "floor.c")


@cache
def _compiled(source: Path) -> str:
    binary = FOLDER / source.stem
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        FOLDER.mkdir(parents=True, exist_ok=True)
        subprocess.run([*compiler(), "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


def compiler() -> list[str]:
    if shutil.which("cc"):
        return ["cc"]
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise AbsentError("no C compiler: the load generator needs `cc`, or `pip install ziglang`")


def node() -> str:
    return _found("node", "Node is not installed")


@cache
def packages_of_node() -> Path:
    packages = FOLDER / "node_modules"
    if not (packages / "better-sse").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        npm = _found("npm", "npm is not installed, which gets better-sse")
        ran = subprocess.run([npm, "install", "--prefix", str(FOLDER), "better-sse"], capture_output=True, check=False)
        if ran.returncode:
            raise AbsentError(f"npm could not install better-sse: {ran.stderr.decode()[-200:]}")
    return packages


def nginx() -> str:
    return _found("nginx", "nginx is not installed (Debian: nginx-light)")


def module_of_nchan() -> Path:
    for path in map(Path, _NCHAN):
        if path.exists():
            return path
    raise AbsentError("nginx has no module nchan (Debian: libnginx-mod-nchan)")


def _found(program: str, otherwise: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise AbsentError(otherwise)
    return path
