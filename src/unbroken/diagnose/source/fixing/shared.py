"""Which names of a module others use: what a function yields must not change under them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["shared_names"]

WORD: Final = re.compile(rb"[A-Za-z_]\w*")
METHOD: Final = re.compile(rb"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)\s*\(\s*(?:self|cls)\b", re.MULTILINE)


def shared_names(path: Path, sources: Mapping[Path, bytes]) -> frozenset[str]:
    """Return the names that stand in other files of `sources` which also name the module at `path`.

    That is more than are imported. A name too many costs a rewrite that is left out; one too few, somebody's test.
    Names of methods that classes of any other file have stand there too, with a dot before them: a subclass may have
    come by its base through a third module.
    """
    module = path.parent.name if path.stem == "__init__" else path.stem
    named = re.compile(rb"\b%s\b" % re.escape(module.encode()))
    others = [source for other, source in sources.items() if other != path]
    used = {word.decode() for source in others if named.search(source) for word in WORD.findall(source)}
    return frozenset(used | {f".{method.decode()}" for source in others for method in METHOD.findall(source)})
