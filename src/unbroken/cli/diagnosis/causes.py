"""A cause of the catalogue, and their list, for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import fill, indent
from typing import Final

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from unbroken.diagnose import CATALOGUE, Cause, Code, Severity

__all__ = ["COLOURS", "cause_as_dict", "paragraph", "print_cause", "print_causes"]

COLOURS: Final = {
    Severity.INFO: "cyan",
    Severity.LOW: "blue",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bold red",
}
WIDEST: Final = 100
"""Characters of a line of prose."""
SECTIONS: Final = (
    ("What it means", "meaning"),
    ("Why it happens", "why"),
    ("How to know", "detect"),
    ("How to mend it", "fix"),
    ("Without unbroken", "workaround"),
    ("So that it stays away", "prevention"),
    ("Concerns", "versions"),
)


def cause_as_dict(cause: Cause) -> dict[str, object]:
    """Return a cause as plain data."""
    return asdict(cause)


def print_causes(out: Console) -> None:
    """Print one line for each cause."""
    widest = max(len(cause.id) for cause in CATALOGUE)
    for cause in CATALOGUE:
        severity = (f"{cause.severity:<8}", COLOURS[cause.severity])
        out.print(Text.assemble((f"{cause.id:<{widest}}", "bold"), "  ", severity, "  ", cause.title))


def print_cause(out: Console, cause: Cause) -> None:
    """Print everything that is known of `cause`."""
    out.print(Text.assemble((cause.title, "bold"), f"  ({cause.id})"))
    effort = f" · {cause.skill}, {cause.minutes} min to mend"
    out.print(Text.assemble((cause.severity, COLOURS[cause.severity]), effort))
    for title, field in SECTIONS:
        out.print(Text(f"\n{title}", "bold"))
        out.print(Text(paragraph(out, str(getattr(cause, field)))))
        if field == "fix":
            _print_code(out, "Broken", cause.broken)
            _print_code(out, "Mended", cause.fixed)
    out.print(Text("\nSources", "bold"))
    out.print(Text(indent("\n".join(cause.sources), "  ")))


def paragraph(out: Console, text: str, margin: str = "  ") -> str:
    """Return text broken into lines that can be read, in a pipe too."""
    width = min(out.width, WIDEST)
    return fill(text, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False)


def _print_code(out: Console, title: str, code: Code | None) -> None:
    if code is None:
        return
    out.print(Text(f"\n  {title}:", "italic"))
    text = indent(code.text.strip("\n"), "    ")
    out.print(Syntax(text, code.language, background_color="default") if out.is_terminal else Text(text))
