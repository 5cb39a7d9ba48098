"""What JetStream is asked: its requests as plain messages, and its refusals as our errors."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from nats.aio.msg import Msg

from unbroken.errors import LogUnavailable
from unbroken.logs.nats.connection import Connection, Outgoing, Refused, status_of
from unbroken.logs.nats.place import Place
from unbroken.logs.position import new_token

__all__ = ["Conflict", "JetStream", "Refused", "Stored", "StreamMissing", "Write"]

T = TypeVar("T")

WRONG_LAST_SEQUENCE = (10071, 10164)
"""Another was faster. The second says so in a batch, and in a cluster while the faster one is under way."""

BATCH_AGAIN = range(10175, 10200)
"""What a server says of a batch that it did not take, among it that too many are under way."""

NO_SUCH_MESSAGE, NO_SUCH_STREAM = 10037, 10059
NO_RESPONDERS = "503"
BATCH_ID_BYTES = 8

NOTHING = b'{"seq":4611686018427387904}'
"""Asks for a place that no stream comes to."""

PATIENCE = 0.3
"""The part of `timeout` after which a question is asked again, if nothing has come meanwhile."""

PAGE_BYTES = 2 * 1024 * 1024
"""What the server sends for one request of several messages, about."""


class Conflict(Exception):  # noqa: N818 # never leaves this package
    """The subject's last message is another than was expected: nothing was stored."""


class StreamMissing(LogUnavailable):
    """Nobody answers for the stream: it was deleted, or has no leader now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of the stream."""

    subject: str
    place: int
    data: bytes
    time: float = 0.0
    """When it was stored, by the server's clock; known where one message was asked for."""


@dataclass(frozen=True, slots=True)
class Write:
    """A message that is to be stored."""

    subject: str
    data: bytes
    expected: int | None = None
    """The place of the last message of the subject, 0 for none; None where it is the same to us."""


class JetStream:
    """The requests, over one connection after the other."""

    def __init__(self, place: Place, connection: Connection) -> None:
        self._place = place
        self._connection = connection

    async def api(self, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API.

        Raises:
            LogUnavailable: it did not answer, or refuses.
            Refused: it refuses; the text says what it says.
        """
        message = Outgoing(f"$JS.API.{what}", json.dumps(body or {}).encode())
        answer = self._read(await self._asked(lambda patience: self._connection.request(message, patience)))
        if "error" in answer:
            raise self._refusal(answer["error"])
        return answer

    async def store(self, writes: Sequence[Write]) -> int:
        """Store all messages or none, and return the place of the last.

        Raises:
            Conflict: what was expected is not so; nothing was stored.
            LogUnavailable: it cannot be said whether they were stored; but for `Refused`, then nothing was.
        """
        answer = self._read(await self._connection.request_batch(_messages(writes)))
        if (error := answer.get("error")) is None:
            return int(answer["seq"])
        if error.get("err_code") in WRONG_LAST_SEQUENCE or error.get("err_code") in BATCH_AGAIN:
            raise Conflict(error.get("description"))
        raise self._refusal(error)

    async def last(self, subject: str) -> Stored | None:
        """Return the last message of a subject; the leader says it, for other replicas may be behind."""
        return await self._get({"last_by_subj": subject})

    async def next(self, subject: str, place: int) -> Stored | None:
        """Return the first message of a subject from this place on; the leader says it."""
        return await self._get({"seq": place, "next_by_subj": subject})

    async def next_since(self, subject: str, time: float) -> Stored | None:
        """Return the first message of a subject that was stored at or after this time, by the server's clock."""
        text = datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
        return await self._get({"start_time": text, "next_by_subj": subject})

    async def several(self, subject: str, place: int, count: int) -> list[Stored]:
        """Return the next messages of a subject from this place on: fewer where they are large.

        Any replica says it: one that is behind returns fewer, too.
        """
        body = {"seq": max(place, 1), "next_by_subj": subject, "batch": count, "max_bytes": PAGE_BYTES}
        subject = f"$JS.API.DIRECT.GET.{self._place.stream}"
        message = Outgoing(subject, json.dumps(body).encode())
        messages = await self._asked(lambda patience: self._connection.request_several(message, patience))
        if status_of(messages[-1]) == NO_RESPONDERS:
            raise self._missing()
        return [_stored(message) for message in messages if status_of(message) is None]

    async def purge(self, subject: str, before: int) -> None:
        """Drop the messages of a subject that stand before this place."""
        await self.api(f"STREAM.PURGE.{self._place.stream}", {"filter": subject, "seq": before})

    async def subjects(self, pattern: str) -> list[str]:
        """Return the subjects that have messages."""
        found, total = dict[str, int](), 1
        while len(found) < total:
            body = {"subjects_filter": pattern, "offset": len(found)}
            answer = await self.api(f"STREAM.INFO.{self._place.stream}", body)
            page = answer["state"].get("subjects") or {}
            found.update(page)
            total = answer.get("total", 0) if page else 0
        return list(found)

    async def answer(self) -> None:
        """Ask for nothing, and wait for the answer of the stream's leader.

        Raises:
            StreamMissing: there is no stream.
        """
        message = Outgoing(f"$JS.API.STREAM.MSG.GET.{self._place.stream}", NOTHING)
        error = self._read(await self._connection.request(message)).get("error", {})
        if error.get("err_code") == NO_SUCH_STREAM:
            raise self._refusal(error)

    async def _asked(self, ask: Callable[[float], Awaitable[T]]) -> T:
        """Ask again and again: who was asked may have died meanwhile, and another be the leader."""
        while True:
            with contextlib.suppress(TimeoutError):
                return await ask(self._place.timeout * PATIENCE)

    async def _get(self, body: Mapping[str, Any]) -> Stored | None:
        try:
            message = (await self.api(f"STREAM.MSG.GET.{self._place.stream}", body))["message"]
        except _NoSuchMessage:
            return None
        time = datetime.fromisoformat(message["time"]).timestamp()
        return Stored(message["subject"], message["seq"], base64.b64decode(message.get("data", "")), time)

    def _read(self, message: Msg) -> dict[str, Any]:
        if status_of(message) == NO_RESPONDERS:
            raise self._missing()
        answer: dict[str, Any] = json.loads(message.data)
        return answer

    def _missing(self) -> StreamMissing:
        what = f"nobody answers for the stream {self._place.stream}: it was deleted, has no leader, or JetStream is off"
        return StreamMissing(str(self._place.unavailable(what)))

    def _refusal(self, error: Mapping[str, Any]) -> LogUnavailable:
        code, says = int(error.get("err_code", 0)), error.get("description", "no reason")
        if code == NO_SUCH_MESSAGE:
            return _NoSuchMessage(says)
        if code == NO_SUCH_STREAM:
            return StreamMissing(str(self._place.unavailable(f"there is no stream {self._place.stream}")))
        return Refused(str(self._place.unavailable(f"{says} (error {code}){_MEANINGS.get(code, '')}")))


class _NoSuchMessage(Refused):
    pass


def _messages(writes: Sequence[Write]) -> list[Outgoing]:
    if len(writes) == 1:
        return [Outgoing(writes[0].subject, writes[0].data, _expecting(writes[0]))]
    batch, messages = new_token(BATCH_ID_BYTES), list[Outgoing]()
    for number, write in enumerate(writes, 1):
        headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number), **_expecting(write)}
        if number == len(writes):
            headers["Nats-Batch-Commit"] = "1"
        messages.append(Outgoing(write.subject, write.data, headers))
    return messages


def _expecting(write: Write) -> dict[str, str]:
    return {} if write.expected is None else {"Nats-Expected-Last-Subject-Sequence": str(write.expected)}


def _stored(message: Msg) -> Stored:
    headers = message.headers or {}
    return Stored(headers["Nats-Subject"], int(headers["Nats-Sequence"]), message.data)


_FULL = "; nothing of it was kept: free some room, or raise the limit"
_MEANINGS = {
    10002: "; its account may use no more storage, see max_file_store and the account's limits" + _FULL,
    10023: _FULL,
    10028: "; its account may use no more storage" + _FULL,
    10047: "; its storage is full" + _FULL,
    10077: "; a limit of the stream is reached" + _FULL,
    10039: "; enable JetStream for the account",
    10076: "; enable JetStream on the server: nats-server -js",
}
