"""Writes the catalogue as Markdown pages, one for each cause.

    python -m unbroken.diagnose.pages docs/causes

A page joins what the catalogue says with what finds the cause: signatures of logs,
rules for source code, checks of an endpoint. So it cannot lag behind any of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from unbroken.diagnose.causes import CATALOGUE, Cause, Code
from unbroken.diagnose.endpoint.checks import CHECKS
from unbroken.diagnose.logs.signatures import SIGNATURES
from unbroken.diagnose.source.rules import RULES

__all__ = ["INDEX", "page_of", "pages", "write_pages"]

INDEX: Final = "README.md"

# The tests execute what the documentation has in fences called "python". Code that is broken,
# or that awaits its turn in a server, belongs in others of the same colour.
_FENCES: Final = {"python": "py"}

_INTRODUCTION: Final = """\
# What breaks event streams

Each page says what a cause means, how to know it, why it happens and how to mend it.
What people meet most often comes first. `unbroken explain CAUSE` prints the same.
"""

_OTHERS: Final = re.compile(rf"(?<![\w/-])({'|'.join(cause.id for cause in CATALOGUE)})(?![\w/-])")

_THREAD: Final = re.compile(r"[\w.-]+/[\w.-]+#\d+")
"""`owner/name#number`: an issue or a pull request."""


def pages() -> dict[str, str]:
    """Return every page's text by its file name, the index among them."""
    return {INDEX: _index()} | {f"{cause.id}.md": page_of(cause) for cause in CATALOGUE}


def write_pages(directory: Path) -> None:
    """Write all pages into `directory`, and remove those of causes that are no more."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")
    for stale in directory.glob("*.md"):
        if stale.name not in wanted:
            stale.unlink()


def page_of(cause: Cause) -> str:
    """Return the page of one cause."""
    return "\n".join([*_head(cause), *_signs(cause), *_mending(cause), *_background(cause)])


def _head(cause: Cause) -> Iterator[str]:
    yield f"# {cause.title}\n"
    yield "| cause | severity | who can mend it | time for one place |"
    yield "|---|---|---|---|"
    yield f"| `{cause.id}` | {cause.severity} | {cause.skill} | {cause.minutes} minutes |\n"
    yield f"{cause.meaning}\n"


def _signs(cause: Cause) -> Iterator[str]:
    yield from _section("How to know it", cause.detect)
    yield from _table(("in the log of", "text"), _signatures(cause))
    yield from _table(("`unbroken check`", "name", "finds"), _rules(cause))
    yield from _table(("`unbroken doctor`", "looks at"), _checks(cause))
    yield from _section("Why it happens", cause.why)


def _mending(cause: Cause) -> Iterator[str]:
    yield from _section("Fix", cause.fix)
    yield from _code("It breaks:", cause.broken)
    yield from _code("It holds:", cause.fixed)
    yield from _section("Without unbroken", cause.workaround)
    yield from _section("So that it does not come back", cause.prevention)


def _background(cause: Cause) -> Iterator[str]:
    yield from _section("Versions", cause.versions)
    yield "## Sources\n"
    yield "".join(f"- {_link(source)}\n" for source in cause.sources)
    yield "[All causes](README.md)\n"


def _section(title: str, text: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{_with_links(text)}\n"


def _with_links(text: str) -> str:
    """Make a link of each other cause that the text names, outside of code."""
    parts = text.split("`")
    parts[::2] = [_OTHERS.sub(r"[\1](\1.md)", part) for part in parts[::2]]
    return "`".join(parts)


def _code(caption: str, code: Code | None) -> Iterator[str]:
    if code is not None:
        yield f"{caption}\n"
        yield f"```{_FENCES.get(code.language, code.language)}\n{code.text}```\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [_row(row) for row in rows]
    if lines:
        yield "\n".join([_row(head), "|---" * len(head) + "|", *lines, ""])


def _row(cells: tuple[str, ...]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _literal(text: str) -> str:
    """Return text as code; with a backquote in it, between two of them."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _link(source: str) -> str:
    if _THREAD.fullmatch(source):
        return f"[{source}](https://github.com/{source.replace('#', '/issues/')})"
    return f"<{source}>"


def _index() -> str:
    rows = [(f"[{cause.title}]({cause.id}.md)", str(cause.severity), f"`{cause.id}`") for cause in CATALOGUE]
    return "\n".join([_INTRODUCTION, *_table(("cause", "severity", "id"), rows)])


def _signatures(cause: Cause) -> Iterator[tuple[str, str]]:
    for signature in SIGNATURES:
        if signature.cause == cause.id:
            yield signature.source, _literal(signature.text)


def _rules(cause: Cause) -> Iterator[tuple[str, str, str]]:
    for rule in RULES:
        if rule.cause == cause.id:
            yield rule.code, rule.name, f"{rule.summary}{' (`unbroken fix` mends it)' if rule.fixable else ''}"


def _checks(cause: Cause) -> Iterator[tuple[str, str]]:
    for check in CHECKS:
        if cause.id in check.causes:
            yield f"{check.name}{' (`--thorough`)' if check.thorough else ''}", check.summary


if __name__ == "__main__":
    write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/causes"))
