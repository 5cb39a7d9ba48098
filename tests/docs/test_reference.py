"""The tables of the reference are what the code says."""

from __future__ import annotations

from pathlib import Path

from unbroken import errors
from unbroken.diagnose.endpoint import CHECKS, Check, Options, plan

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def row(check: Check) -> str:
    """Return the line of a check."""
    thorough = " (thorough)" if check.thorough else ""
    causes = ", ".join(f"[{cause}](../causes/{cause}.md)" for cause in check.causes)
    return f"| `{check.name}`{thorough} | {check.summary} | {causes} |"


def test_doctors_checks_are_listed() -> None:
    """Each in its order, with its causes; where they differ, this prints the table as it should be."""
    rows = [row(check) for check in CHECKS]
    page = (REFERENCE / "doctor.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows, "\n".join(rows)


def test_the_number_of_doctors_requests_is_said() -> None:
    """A quick examination makes as many as its plan allows."""
    most = sum(request.at_most for request in plan(Options()))
    words = ("eight", "nine", "ten", "eleven", "twelve")
    assert f"makes at most {words[most - 8]}, " in (REFERENCE / "doctor.md").read_text()


def test_the_tree_of_errors_is_the_codes() -> None:
    """The page shows the tree that the module's docstring has."""
    tree = (errors.__doc__ or "").split("\n\n", 1)[1].strip().replace("`", "")
    assert tree in (REFERENCE / "errors.md").read_text()
