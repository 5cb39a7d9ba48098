"""A cause of the catalogue, and their list, for a terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from unbroken.diagnose import CATALOGUE, Cause, Code, Severity

__all__ = ["COLOURS", "cause_as_dict", "print_cause", "print_causes"]

COLOURS: Final = {
    Severity.INFO: "cyan",
    Severity.LOW: "blue",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bold red",
}
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
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for cause in CATALOGUE:
        table.add_row(Text(cause.id, "bold"), Text(cause.severity, COLOURS[cause.severity]), Text(cause.title))
    out.print(table)


def print_cause(out: Console, cause: Cause) -> None:
    """Print everything that is known of `cause`."""
    out.print(Text.assemble((cause.title, "bold"), f"  ({cause.id})"))
    out.print(
        Text.assemble((cause.severity, COLOURS[cause.severity]), f" · {cause.skill}, {cause.minutes} min to mend")
    )
    for title, field in SECTIONS:
        out.print()
        out.print(Text(title, "bold"))
        out.print(Padding(Text(str(getattr(cause, field))), (0, 0, 0, 2)))
        if field == "fix":
            _print_code(out, "Broken", cause.broken)
            _print_code(out, "Mended", cause.fixed)
    out.print()
    out.print(Text("Sources", "bold"))
    for source in cause.sources:
        out.print(Padding(Text(source), (0, 0, 0, 2)))


def _print_code(out: Console, title: str, code: Code | None) -> None:
    if code is None:
        return
    out.print()
    out.print(Padding(Text(f"{title}:", "italic"), (0, 0, 0, 2)))
    text = Syntax(code.text.strip("\n"), code.language, background_color="default") if out.is_terminal else code.text
    out.print(Padding(text, (0, 0, 0, 4)))
