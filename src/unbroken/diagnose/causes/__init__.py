"""The catalogue of causes, as data."""

from __future__ import annotations

import difflib
from typing import Final

from unbroken.diagnose.causes import (
    failing,
    generators,
    headers,
    holding,
    hops,
    leaving,
    peers,
    reconnecting,
    server,
    wire,
)
from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill
from unbroken.errors import UnknownCauseError

__all__ = ["CATALOGUE", "Cause", "Code", "Severity", "Skill", "find_cause"]

CATALOGUE: Final[tuple[Cause, ...]] = (
    leaving.CLIENT_CLOSED,
    hops.IDLE_TIMEOUT,
    hops.PROXY_BUFFERING,
    server.SHUTDOWN_HANGS,
    failing.IMPORT_DOES_NOT_EXIST,
    headers.NOT_AN_EVENT_STREAM,
    wire.WRONG_FRAMING,
    leaving.EXCEPT_NEVER_FIRES,
    leaving.WRITE_AFTER_CLOSE,
    leaving.CLEANUP_NOT_RUN,
    generators.LOOP_STARVED,
    holding.DEPENDENCY_HELD,
    failing.PRODUCER_FAILED,
    reconnecting.RESUME_IGNORED,
    holding.WORKERS_WITHOUT_SHARED_LOG,
    failing.MIDDLEWARE_BREAKS_STREAM,
    headers.MISSING_HEADERS,
    hops.COMPRESSED_STREAM,
    generators.DISCONNECT_SWALLOWED,
    generators.THREAD_HELD,
    failing.STATUS_AFTER_START,
    reconnecting.ENDLESS_RECONNECT,
    holding.UNBOUNDED_QUEUE,
    peers.SLOW_READER,
    peers.HALF_OPEN_PEER,
    hops.AGE_LIMIT,
    wire.FIELD_INJECTION,
    generators.SCOPE_ACROSS_YIELD,
    headers.CONNECTION_HEADER,
    headers.HEAD_REQUEST,
    server.WORKER_KILLED,
    peers.UNREACHABLE,
)
"""Every cause, those that people meet first first."""


def find_cause(id: str) -> Cause:  # noqa: A002 # the field's own name
    """Return the cause named `id`, in any case. May be called from any thread.

    Raises:
        UnknownCauseError: There is none of that name; the error lists those that come near.
    """
    known = {cause.id: cause for cause in CATALOGUE}
    wanted = id.strip().lower()
    if wanted not in known:
        raise UnknownCauseError(id, tuple(difflib.get_close_matches(wanted, known, n=3)))
    return known[wanted]
