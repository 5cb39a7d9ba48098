"""The tables of the reference are what the code says."""

from __future__ import annotations

from pathlib import Path

from unbroken.diagnose.endpoint import CHECKS, Check

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
