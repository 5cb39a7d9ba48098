"""A connection that appends, one group at a time, and each group once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from unbroken.errors import LogError, LogUnavailable
from unbroken.logs.contract import Appended, Entry
from unbroken.logs.position import new_token
from unbroken.logs.postgres import statements
from unbroken.logs.postgres.batch import Batch, answered
from unbroken.logs.postgres.driver import Conflict, Lost, Row
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.session import Session
from unbroken.logs.postgres.statements import Call

__all__ = ["Lane", "Outcome"]

Outcome = Appended | LogError | None
"""What became of a batch; None: its topic is held by somebody."""

WHOLE = 0.95
"""The part of the timeout that an append may take, its repetition included: its caller waits that long."""

ATTEMPT = 0.45
"""The part of it after which an answer is not waited for any more."""

PATIENCE = 0.8
"""The part of what is left for which a repetition waits for the first call, and for whoever holds the topics."""

QUEUING = 0.25
"""Seconds to wait for a topic that is held. PostgreSQL looks for deadlocks after one: by then we wait no more."""

MARGIN = 0.5
"""Seconds that the first call may have begun earlier than it seems."""


class Lane:
    """For one task, which closes it.

    An answer may be lost, and then the call is repeated once. It looks for the tags of the call before; and since
    the server counts the calls of each lane, that one does nothing any more should it arrive only then.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session = Session(place)
        self._id = new_token(8)
        self._calls = 0

    async def open(self) -> None:
        """Open the connection.

        Raises:
            LogUnavailable: it cannot be opened.
        """
        await self._session.open(self._place.timeout)

    async def append(self, topics: Sequence[Sequence[Batch]], *, wait: bool) -> list[Outcome]:
        """Append batches, which are given by topic, in one transaction; and say what became of each.

        With `wait` a topic that is held is waited for a little: one topic only, or two such transactions might wait
        for each other.
        """
        try:
            rows = await self._called(topics, wait)
            batches = [batch for some in topics for batch in some]
            return [await self._outcome(batch, row) for batch, row in zip(batches, rows, strict=True)]
        except Conflict:
            return [None for some in topics for _ in some]  # to be tried again, as if all were held
        except LogError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 # whatever it is, who waits is told
            error = LogUnavailable(f"{self._place} cannot be used: {exc!r}")
        return [error for some in topics for _ in some]

    def terminate(self) -> None:
        """Drop the connection."""
        self._session.terminate()

    async def _called(self, topics: Sequence[Sequence[Batch]], wait: bool) -> Sequence[Row]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await self._call(topics, self._place.timeout * ATTEMPT, QUEUING, wait)
        except Lost:
            gone = loop.time() - began
            left = self._place.timeout * WHOLE - gone
            if left < self._place.timeout * (1 - WHOLE):
                raise
        try:
            return await self._call(topics, left, left * PATIENCE, wait, gone + MARGIN)
        except Conflict as exc:  # this call was not made, but the first may have been
            raise LogUnavailable(str(exc)) from exc

    async def _call(
        self,
        topics: Sequence[Sequence[Batch]],
        timeout: float,
        patience: float,
        wait: bool,
        since: float | None = None,
    ) -> Sequence[Row]:
        self._calls += 1
        place = self._place
        patience = min(patience, timeout * PATIENCE)
        call = Call(self._id, self._calls, patience, place.synchronous_commit, place.notified, wait, since)
        return await self._session.run(
            lambda connection: statements.append(connection, place.namespace, call, topics), timeout
        )

    async def _outcome(self, batch: Batch, row: Row) -> Outcome:
        if row["outcome"] == "held":
            return None
        kept: Sequence[Entry] = ()
        if row["outcome"] == "duplicate":
            kept = await self._kept(batch, row)
        try:
            return answered(batch, row, kept)
        except LogError as exc:
            return exc

    async def _kept(self, batch: Batch, row: Row) -> Sequence[Entry]:
        """Read what is there of a batch that was appended before."""
        schema, epoch, first, last = self._place.namespace, row["epoch"], row["first_seq"], row["seq"]
        if first > last:
            return ()
        return await self._session.run(
            lambda connection: statements.entries_between(connection, schema, batch.topic, epoch, first, last),
            self._place.timeout * ATTEMPT,
        )
