"""Findings as SARIF 2.1.0, which code hosts and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Final

from unbroken.diagnose import Severity, find_cause
from unbroken.diagnose.source import CheckReport, SourceFinding
from unbroken.diagnose.source.rules import RULES, Rule

__all__ = ["sarif"]

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: Final = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}


def sarif(report: CheckReport) -> dict[str, object]:
    """Return a report as a SARIF log with one run."""
    driver = {"name": "unbroken", "version": version("unbroken"), "rules": [_rule(rule) for rule in RULES]}
    run = {
        "tool": {"driver": driver},
        # SARIF 3.18.4: columns count characters, as Python's do; the default is UTF-16.
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding) for finding in report.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, object]:
    cause = find_cause(rule.cause)
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": cause.meaning},
        "help": {"text": cause.fix},
        "defaultConfiguration": {"level": LEVELS[cause.severity]},
    }


def _result(finding: SourceFinding) -> dict[str, object]:
    region = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    location = {"artifactLocation": {"uri": _uri(finding.path)}, "region": region}
    return {
        "ruleId": finding.code,
        "level": LEVELS[find_cause(finding.cause).severity],
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location}],
    }


def _uri(path: str) -> str:
    """Return a path relative to the working directory, as code hosts want it, or else a file's address."""
    full = Path(path).absolute()
    if full.is_relative_to(Path.cwd()):
        return PurePath(full.relative_to(Path.cwd())).as_posix()
    return full.as_uri()
