"""The code of the catalogue does what its pages say: the broken one breaks, the fixed one holds."""

from __future__ import annotations

import pytest

from unbroken.diagnose import CATALOGUE, Cause

from . import (
    probes_failing,
    probes_generators,
    probes_headers,
    probes_holding,
    probes_hops,
    probes_leaving,
    probes_sockets,
    probes_wire,
)
from .support import Probe

PROBES: dict[str, Probe] = {
    **probes_leaving.PROBES,
    **probes_generators.PROBES,
    **probes_hops.PROBES,
    **probes_headers.PROBES,
    **probes_failing.PROBES,
    **probes_holding.PROBES,
    **probes_wire.PROBES,
    **probes_sockets.PROBES,
}

WITH_PYTHON = [cause for cause in CATALOGUE if cause.broken is not None and cause.broken.language == "python"]


@pytest.mark.parametrize("cause", WITH_PYTHON, ids=lambda cause: cause.id)
def test_broken_code_breaks(cause: Cause) -> None:
    """The broken code of a cause shows the fault that its page tells of."""
    assert cause.broken is not None
    assert PROBES[cause.id].look(cause.broken) == PROBES[cause.id].broken


@pytest.mark.parametrize("cause", WITH_PYTHON, ids=lambda cause: cause.id)
def test_fixed_code_holds(cause: Cause) -> None:
    """The fixed code of a cause keeps its promise, seen by the same look."""
    assert cause.fixed is not None
    assert PROBES[cause.id].look(cause.fixed) == PROBES[cause.id].fixed


WITHOUT = {
    "client-closed": "nothing is broken",
    "proxy-buffering": "is nginx's configuration: test_nginx.py runs it",
    "unreachable": "no code of an application mends it",
    "worker-killed": "is the end of other causes, which have code of their own",
}
"""Why a cause has no Python code."""


def test_every_cause_is_shown_or_says_why_not() -> None:
    """No cause has code that nothing runs, and none is without code for no reason."""
    assert {cause.id for cause in WITH_PYTHON} == set(PROBES)
    assert {cause.id for cause in CATALOGUE} - set(PROBES) == set(WITHOUT)
    assert [cause for cause, probe in PROBES.items() if probe.broken == probe.fixed] == []
