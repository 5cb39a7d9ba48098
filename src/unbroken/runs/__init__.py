"""Runs: producers that outlive their client, and end exactly once whatever happens to their process."""

from unbroken.runs.names import SYSTEM, Owner
from unbroken.runs.presence import CancelWhenUnwatched
from unbroken.runs.record import RunInfo, RunStatus
from unbroken.runs.response import RunResponse, run_error_response
from unbroken.runs.run import Run
from unbroken.runs.runs import Runs

__all__ = [
    "SYSTEM",
    "CancelWhenUnwatched",
    "Owner",
    "Run",
    "RunInfo",
    "RunResponse",
    "RunStatus",
    "Runs",
    "run_error_response",
]
