"""What this log can say of itself: it hangs on the server's settings."""

from __future__ import annotations

from unbroken.errors import LogUnavailable
from unbroken.logs.contract import Guarantees
from unbroken.logs.postgres.driver import Connection
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.statements import forget_writers

__all__ = ["guarantees_of", "stated"]

_FAILOVER = "what a replica had not received when it became the primary, of which readers are told as a gap"

_SETTINGS = """SELECT current_setting('fsync') = 'on' AS fsync, current_setting('synchronous_commit') AS commit,
    current_setting('synchronous_standby_names') <> '' AS has_standby"""


def guarantees_of(commit: str, *, fsync: bool = True, has_standby: bool = False) -> Guarantees:
    """Return what is guaranteed with these settings of the server."""
    survives = fsync and commit != "off"
    if not survives:
        setting = "synchronous_commit=off" if fsync else "fsync=off"
        can_lose = f"The newest events, when the server or its machine crashes ({setting}); and {_FAILOVER}."
    elif has_standby and commit != "local":
        can_lose = "Nothing that was acknowledged, as long as the replica that takes over is a synchronous one."
    else:
        can_lose = f"Nothing that was acknowledged, on one server whose disk is whole; in a failover, {_FAILOVER}."
    return Guarantees(
        survives_process=True, survives_machine=survives, shared=True, hints_may_be_lost=False, can_lose=can_lose
    )


async def stated(connection: Connection, place: Place) -> Guarantees:
    """Return what is guaranteed as the server says; and sweep up, for this is the first that it is asked."""
    row = await connection.fetchrow(_SETTINGS)
    if row is None:
        raise LogUnavailable(f"{place} does not say how it is set up")
    await forget_writers(connection, place.namespace)
    commit = place.synchronous_commit or row["commit"]
    return guarantees_of(commit, fsync=row["fsync"], has_standby=row["has_standby"])
