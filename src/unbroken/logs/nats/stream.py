"""The stream that topics are kept in: made if there is none, and refused if it cannot keep what a log promises."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from unbroken.logs.nats.connection import Connection
from unbroken.logs.nats.jetstream import JetStream, Refused, StreamMissing
from unbroken.logs.nats.place import Place
from unbroken.logs.nats.subjects import Subjects

__all__ = ["prepare"]

NEEDED = (2, 12, 2)
"""Atomic batches came with 2.12. Before 2.12.2 a server locks up when several messages are read beside a write."""


async def prepare(place: Place, connection: Connection) -> bool:
    """See that the stream is there and as it must be, and return whether it was made now.

    Raises:
        LogUnavailable: the server is too old, has no JetStream, or the stream breaks a promise; the text says which.
    """
    if connection.version < NEEDED:
        found, needed = (".".join(map(str, version)) for version in (connection.version, NEEDED))
        raise place.unavailable(f"the server has version {found}, and the log needs {needed} or later: update it")
    jetstream = JetStream(place, connection)
    info, made = await _found(place, jetstream)
    faults = list(_faults(place, info["config"]))
    if faults:
        raise place.unavailable(f"the stream {place.stream} cannot be used: {'; '.join(faults)}")
    return made


async def _found(place: Place, jetstream: JetStream) -> tuple[dict[str, Any], bool]:
    """Return the stream, and whether it was made now."""
    ask = f"STREAM.INFO.{place.stream}"
    try:
        return await jetstream.api(ask), False
    except StreamMissing:
        pass
    # Its places go on from now: in a life of the stream that is over nobody has filled them, and so nobody who knows
    # a head of that life can append behind it.
    begin = {"first_seq": time.time_ns() // 1000}
    try:
        return await jetstream.api(f"STREAM.CREATE.{place.stream}", {**_wanted(place), **begin}), True
    except Refused as error:
        try:
            return await jetstream.api(ask), False  # another process has made it meanwhile
        except StreamMissing:
            raise error from None


def _wanted(place: Place) -> dict[str, Any]:
    subjects = Subjects(place.prefix)
    return {
        "name": place.stream,
        "description": "topics of unbroken: written and trimmed by it alone",
        "subjects": subjects.all,
        "republish": subjects.republish,
        "storage": place.storage,
        "num_replicas": place.replicas,
        "retention": "limits",
        "discard": "new",  # whoever sets a limit later has publishing fail, instead of entries that vanish
        "allow_direct": True,
        "allow_atomic": True,
    }


def _faults(place: Place, config: Mapping[str, Any]) -> Iterator[str]:
    wanted = _wanted(place)
    for name in ("storage", "num_replicas", "retention", "allow_direct", "allow_atomic"):
        found = config.get(name, False)
        if found != wanted[name]:
            yield f"it has {name}={found}, where {wanted[name]} is needed{_HINTS.get(name, '')}"
    if sorted(config.get("subjects") or ()) != sorted(wanted["subjects"]):
        yield f"its subjects are {config.get('subjects')}, where {wanted['subjects']} are needed"
    if any((config.get("republish") or {}).get(name) != value for name, value in wanted["republish"].items()):
        yield f"its republish is {config.get('republish')}, where {wanted['republish']} is needed"
    for name in ("max_age", "max_msgs", "max_msgs_per_subject"):
        if config.get(name, 0) > 0:
            yield f"its {name}={config[name]} drops what the log has to keep: remove it"
    if config.get("max_bytes", -1) > 0 and config.get("discard") != "new":
        yield "its max_bytes drops the oldest of all topics: set discard=new"
    for name in ("deny_purge", "sealed", "mirror"):
        if config.get(name):
            yield f"it has {name}, and can so not be trimmed or written"


_HINTS = {
    "storage": ": give the log storage= as the stream has it, or change the stream",
    "num_replicas": ": give the log replicas= as the stream has them, or change the stream",
}
