"""`# noqa`: the lines that a person has excused."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["Excuses"]

WORD: Final = re.compile(r"noqa", re.IGNORECASE)
NOQA: Final = re.compile(r"#\s*noqa(?P<colon>\s*:)?\s*(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?", re.IGNORECASE)

Codes = frozenset[str] | None
"""None: every code."""


class Excuses:
    """The comments of one source that excuse findings.

    `# noqa` excuses all of its line, `# noqa: SSE002, SSE012` these codes. A colon without a code after it excuses
    nothing, as with ruff: most likely something else was meant. What a string holds is no comment.
    """

    def __init__(self, source: str) -> None:
        self._lines: Mapping[int, Codes] = dict(_excuses(source)) if WORD.search(source) else {}

    def cover(self, code: str, *lines: int) -> bool:
        """Say whether one of `lines`, counted from 1, excuses `code`."""
        return any(self._covers(code, line) for line in lines)

    def _covers(self, code: str, line: int) -> bool:
        if line not in self._lines:
            return False
        codes = self._lines[line]
        return codes is None or code in codes


def _excuses(source: str) -> Iterator[tuple[int, Codes]]:
    for line, comment in _comments(source):
        found = NOQA.search(comment)
        if found is not None and found["colon"] and found["codes"]:
            yield line, frozenset(re.split(r"[,\s]+", found["codes"].upper()))
        elif found is not None and not found["colon"]:
            yield line, None


def _comments(source: str) -> Iterator[tuple[int, str]]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        # Written for a later Python than this one: libcst knows its grammar, the standard library does not.
        yield from enumerate(re.split(r"\r\n|\r|\n", source), 1)
    else:
        yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)
