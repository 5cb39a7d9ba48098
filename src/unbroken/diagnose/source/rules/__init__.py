"""Every rule of `check`."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.source.rules import (
    framing,
    headers,
    holding,
    imports,
    leaving,
    looping,
    middleware,
    sharing,
    silence,
)
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject

__all__ = ["RULES", "Problem", "Rule", "Subject"]

_THEMES: Final = (framing, headers, holding, imports, leaving, looping, middleware, sharing, silence)
RULES: Final[tuple[Rule, ...]] = tuple(
    sorted((rule for theme in _THEMES for rule in theme.RULES), key=lambda rule: rule.code)
)
