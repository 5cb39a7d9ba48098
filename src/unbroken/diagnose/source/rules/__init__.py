"""Every rule of `check`."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.source.rules import imports
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject

__all__ = ["RULES", "Problem", "Rule", "Subject"]

RULES: Final[tuple[Rule, ...]] = tuple(sorted((*imports.RULES,), key=lambda rule: rule.code))
