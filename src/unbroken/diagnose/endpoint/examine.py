"""An examination from its first request to its last verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from unbroken.diagnose.endpoint.asking import URL_LIMIT, Asker
from unbroken.diagnose.endpoint.checks import CHECKS, Check, Needs
from unbroken.diagnose.endpoint.evidence import Evidence, is_event_stream
from unbroken.diagnose.endpoint.options import Options
from unbroken.diagnose.endpoint.probes import PROBES, Probe, planned, skip_reason
from unbroken.diagnose.endpoint.recording import Recording
from unbroken.diagnose.endpoint.target import Secrets, parse_target
from unbroken.diagnose.endpoint.verdict import Examination, Outcome, PlannedRequest, Progress, Verdict

__all__ = ["examine", "plan"]

DEFAULTS = Options()

_WHY = {
    Needs.RESPONSE: "nothing answered",
    Needs.SUCCESS: "the status is not 200",
    Needs.STREAM: "there is no event stream",
}


def plan(options: Options = DEFAULTS, url: str | None = None) -> tuple[PlannedRequest, ...]:
    """Return every request that an examination with these options may make. It makes no other, and may make fewer.

    Args:
        options: What may be done.
        url: The URL that is to be examined, for the header that a user and a password in it become.

    Raises:
        ConfigurationError: `url` is none of HTTP or cannot be read.
    """
    return planned(options, parse_target(url)[1] if url is not None else None)


async def examine(
    url: str, options: Options = DEFAULTS, *, progress: Callable[[Progress], None] | None = None
) -> Examination:
    """Examine the event stream at `url` as a careful client would, and say what was found.

    It never raises for what the endpoint does: that is a verdict. It makes no
    request that `plan(options, url)` does not name, one after the other (`thorough` alone opens
    several at once), each within its deadline, and ends after `Options.total_timeout`.
    Credentials, in headers or in the URL, go to the URL's own origin only and are in no result.
    To be called on an asyncio event loop; `asyncio.run(examine(url))` will do.

    Args:
        url: An http or https URL; with a user and a password in it, these are sent as Basic authentication.
        options: What may be done, and for how long.
        progress: Called before each step, in the event loop.

    Raises:
        ConfigurationError: `url` is none of HTTP or cannot be read, or `verify` is no file of certificates.
    """
    target, authorization = parse_target(url)
    evidence = Evidence(target, options, Secrets(url, options.headers), target)
    asker = Asker(target, options, authorization, evidence.secrets)
    now = asyncio.get_running_loop().time
    started = now()
    for step, probe in enumerate(PROBES):
        if reason := skip_reason(probe, evidence):
            evidence.skipped[probe.name] = reason
            continue
        if progress is not None:
            progress(Progress(step, len(PROBES), probe.summary))
        await _make(probe, asker, evidence, started + options.total_seconds)
    return Examination(
        url=evidence.secrets.shown(target.shown, URL_LIMIT),
        verdicts=tuple(_verdicts(evidence)),
        plan=planned(options, authorization),
        requests=tuple(asker.sent),
        seconds=now() - started,
    )


async def _make(probe: Probe, asker: Asker, evidence: Evidence, deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await probe.make(asker, evidence)
    except TimeoutError:
        evidence.skipped[probe.name] = f"the time was up: {evidence.options.total_seconds:g} s"


def _verdicts(evidence: Evidence) -> Iterator[Verdict]:
    reached = _reached(evidence)
    for check in CHECKS:
        if reached < check.needs:
            yield Verdict(check=check.name, outcome=Outcome.SKIP, saw=_WHY[Needs(reached + 1)])
        else:
            yield from _judged(check, evidence)


def _reached(evidence: Evidence) -> Needs:
    main = evidence.main
    if not isinstance(main, Recording):
        return Needs.NOTHING
    if main.head is None or main.head.status != 200:
        return Needs.RESPONSE
    return Needs.STREAM if is_event_stream(main) else Needs.SUCCESS


def _judged(check: Check, evidence: Evidence) -> Iterator[Verdict]:
    for said in check.judge(evidence):
        yield Verdict(
            check=check.name, outcome=said.outcome, saw=said.saw, means=said.means, cause=said.cause, fix=said.fix
        )
