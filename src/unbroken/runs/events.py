"""The events of a run's topic that are not its producer's: `run-start`, `run-end`, `run-snapshot`."""

from __future__ import annotations

import json
from typing import Any

from unbroken.errors import EncodeError
from unbroken.hub.event import encode_payload
from unbroken.runs.names import RESERVED
from unbroken.runs.record import RunStatus
from unbroken.wire import ServerSentEvent, encode

__all__ = ["END", "SNAPSHOT", "START", "end_payload", "is_snapshot", "item_payload", "read_start", "snapshot_payload",
           "start_payload"]  # fmt: skip

START = "run-start"
END = "run-end"
SNAPSHOT = "run-snapshot"

KEEP_ALIVE = b": run\n"
"""An entry that dispatches nothing: a run that is silent for long is not to be taken for an old one."""


def start_payload(run: str, attempt: int, origin: dict[str, Any]) -> bytes:
    """Return the event of a start. Where it comes from is for other processes, and no client dispatches a comment."""
    comment = json.dumps(origin, separators=(",", ":"))
    return encode(ServerSentEvent({"run": run, "attempt": attempt}, event=START, comment=comment))[:-1]


def read_start(payload: bytes) -> dict[str, Any] | None:
    """Return what a start says of where it comes from, with its attempt; None for any other event."""
    comment, _, rest = payload.partition(b"\n")
    if not comment.startswith(b": {") or not rest.startswith(f"event: {START}\n".encode()):
        return None
    said = json.loads(rest.partition(b"data: ")[2])
    return {**json.loads(comment[2:]), "attempt": said["attempt"]}


def end_payload(status: RunStatus, attempt: int, result: object = None, reason: str = "") -> bytes:
    """Return the event that ends a run.

    Raises:
        EncodeError: the result has no form in JSON.
    """
    said: dict[str, object] = {"status": str(status), "attempt": attempt}
    if result is not None:
        said["result"] = result
    if reason:
        said["reason"] = reason
    return encode(ServerSentEvent(said, event=END))[:-1]


def read_end(payload: bytes) -> RunStatus | None:
    """Return how a run ended, or None for any other event."""
    if not payload.startswith(f"event: {END}\n".encode()):
        return None
    return RunStatus(json.loads(payload.partition(b"data: ")[2])["status"])


def snapshot_payload(state: object, max_bytes: int) -> bytes:
    """Return the event that holds all that was sent so far.

    Raises:
        EncodeError: it has no form on the wire, or is larger than `max_bytes`.
    """
    return encode_payload(state, SNAPSHOT, max_bytes)


def is_snapshot(payload: bytes) -> bool:
    """Whether an event is a snapshot."""
    return payload.startswith(f"event: {SNAPSHOT}\n".encode())


def item_payload(data: object, event: str | None, max_bytes: int) -> bytes:
    """Return an event of the producer's.

    Raises:
        EncodeError: as `encode_payload`; or its type is one of a run's own events.
    """
    kind = data.event if isinstance(data, ServerSentEvent) else event
    if kind is not None and kind.startswith(RESERVED):
        raise EncodeError(f"event={kind!r} is a run's own; give one that does not begin with {RESERVED!r}")
    return encode_payload(data, event, max_bytes)
