"""JavaScript packages for the pages that name them: from npm, as a network of package copies would give them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

__all__ = ["give_esm", "give_unpkg", "install"]

PINNED = re.compile(r"https://(?:unpkg\.com|esm\.sh)/([a-z.-]+)@([\d.]+)")
INSTALL_TIMEOUT = 45

# What React publishes is for bundlers; this is the bundle.
REACT = {
    "react": "react/cjs/react.production.js",
    "scheduler": "scheduler/cjs/scheduler.production.js",
    "react-dom": "react-dom/cjs/react-dom.production.js",
    "react-dom/client": "react-dom/cjs/react-dom-client.production.js",
}
EXPORTS = {"react": "createElement, useEffect, useRef, useState", "react-dom/client": "createRoot"}
BUNDLE = """const sources = {%s};
const loaded = {};
export function require(name) {
  const module = loaded[name] ?? { exports: {} };
  if (!(name in loaded)) sources[name](loaded[name] = module, module.exports, require);
  return module.exports;
}"""


def install(page_source: str, directory: Path) -> Path:
    """Install the packages that a page names, in the versions that it names, and return where they are.

    Where there is no npm, or no registry, the test is skipped; in CI it fails.
    """
    packages = [f"{name}@{version}" for name, version in dict(PINNED.findall(page_source)).items()]
    assert packages, "the page names no packages"
    npm = shutil.which("npm")
    if npm is None:
        _do_without("there is no npm on the PATH")
    command = [
        str(npm),
        "install",
        "--prefix",
        str(directory),
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        *packages,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    if done.returncode:
        _do_without(f"npm cannot install {' '.join(packages)}: {done.stderr}")
    return directory / "node_modules"


def _do_without(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def give_unpkg(page: Page, modules: Path) -> None:
    """Answer what the page asks unpkg.com for: a file of a package, by its path."""

    def answer(route: Route) -> None:
        path = re.sub(r"^https://unpkg\.com/([a-z.-]+)@[\d.]+", r"\1", route.request.url)
        route.fulfill(path=modules / path)

    page.route("https://unpkg.com/**", answer)


def give_esm(page: Page, modules: Path) -> None:
    """Answer what the page asks esm.sh for: React as ECMAScript modules."""
    sources = (f"{json.dumps(name)}: (module, exports, require) => {{{(modules / file).read_text()}}}"
               for name, file in REACT.items())  # fmt: skip
    bundle = BUNDLE % ",\n".join(sources)

    def answer(route: Route) -> None:
        name = re.sub(r"^https://esm\.sh/|@[\d.]+", "", route.request.url)
        exports = f'import {{ require }} from "/bundle";\nexport const {{ {EXPORTS.get(name)} }} = require("{name}");'
        route.fulfill(
            body=bundle if name == "bundle" else exports,
            content_type="text/javascript",
            headers={"Access-Control-Allow-Origin": "*"},
        )

    page.route("https://esm.sh/**", answer)
