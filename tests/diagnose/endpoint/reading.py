"""What the tests ask of an examination."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from unbroken.diagnose.endpoint import CHECKS, Examination, Options, Outcome, Verdict, examine

__all__ = ["FAST", "found", "look", "look_at_all", "verdict"]

FAST: dict[str, Any] = {"watch": 0.5, "probe_timeout": 0.5, "head_timeout": 2.0, "slow_pause": 0.2}
"""A watch that is long enough for ticks of 50 ms."""

Found = set[tuple[str, str, str | None]]


def look(url: str, **options: Any) -> Examination:
    """Examine with short times, in an event loop of its own as a command does."""
    return asyncio.run(examine(url, Options(**{**FAST, **options})))


def look_at_all(urls: Iterable[str], **options: Any) -> dict[str, Examination]:
    """Examine several at the same time: each of them mostly waits."""
    chosen = Options(**{**FAST, **options})

    async def main() -> dict[str, Examination]:
        wanted = list(urls)
        return dict(zip(wanted, await asyncio.gather(*(examine(url, chosen) for url in wanted)), strict=True))

    return asyncio.run(main())


def found(examination: Examination) -> Found:
    """Return everything that did not pass and was looked at: the check, its outcome and its cause."""
    quiet = (Outcome.PASS, Outcome.SKIP)
    causes = {check.name: check.causes for check in CHECKS}
    for said in examination.verdicts:
        assert said.cause is None or said.cause in causes[said.check], f"{said.check} does not declare {said.cause}"
    return {
        (verdict.check, verdict.outcome.value, verdict.cause)
        for verdict in examination.verdicts
        if verdict.outcome not in quiet
    }


def verdict(examination: Examination, check: str) -> Verdict:
    """Return the only verdict of a check."""
    [only] = [verdict for verdict in examination.verdicts if verdict.check == check]
    return only
