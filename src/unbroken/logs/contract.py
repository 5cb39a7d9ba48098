"""What a log promises, whatever it keeps its events in.

A log holds topics; a topic is a sequence of entries, which only grows at its end and is
trimmed at its beginning. These hold for every log, and `unbroken.testing.logs` tests them:

1. **Density.** The log assigns `seq`, from 1, without a hole, in the order in which entries
   become visible. Whoever sees `seq` n can read all that is retained up to n.
2. **Links.** Each entry has a random `tag` and knows the tag of the one before it (`previous`,
   empty for the first). A history that was cut and written anew is seen by that, where
   counting alone would show nothing: a failover to a replica that lagged, a restored backup.
3. **Epochs.** An epoch is the life of a topic's history. It is made with the topic, at the first
   `append`, `read` or `head`, and is as durable as the topic. When history may have been lost
   entirely (the memory is gone, the topic was forgotten), the next epoch is another.
4. **Appending** is atomic: all entries of a batch, or none; its idempotency key, fence and closing
   with it. It returns when the entries are as durable as `guarantees` says. When it raises
   `LogUnavailable` the entries may have been appended: the same call with the same key tells.
5. **Keys.** An `append` whose key was used in this topic appends nothing and returns what the first
   one did, for at least `Retention.key_age` seconds after that one.
6. **Fences.** An `append` with a fence lower than the highest that was ever used in the topic raises
   `Fenced`. Appends without a fence are not compared.
7. **Closing.** After an `append` with `close` every other raises `TopicClosed`, but for one whose key
   was used. A batch may be empty only if it closes. Asked in this order: key, closing, fence.
8. **Pages.** `read` is one atomic snapshot: its entries follow each other without a hole, and its head is of
   the same moment. Its first entry is the one after `after`, or the first retained, if that is later.
9. **Telling.** For a watched topic the listener is told of entries soon after they became visible, by whichever
   process they were appended. That is a hint: it may come late, twice, out of order or, where the log says so
   (`Guarantees.hints_may_be_lost`), not at all; a log that noticed its own deafness says so by `on_doubt`.
   Correctness never hangs on a hint, only latency does.

A log is used by one event loop, the one on which it was started. Its methods may be cancelled; an `append`
that was cancelled may have been made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from unbroken.errors import ConfigurationError
from unbroken.logs.position import Position

__all__ = [
    "Appended",
    "Draft",
    "Entry",
    "Guarantees",
    "Head",
    "Listener",
    "Log",
    "NewKey",
    "Page",
    "Retention",
    "TransactionalLog",
]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is to be appended. `payload` is opaque to the log: any bytes, as many as the hub's bound allows."""

    payload: bytes


class NewKey(str):
    """A key that was made up for this append, and was sent nowhere before: a log need not look for it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a topic, as the log keeps it."""

    seq: int
    tag: str
    previous: str
    """The tag of the entry before; empty for `seq` 1."""
    payload: bytes
    appended_at: float
    """Seconds since the Unix epoch, by the clock of the process that appended it, or of the engine. A clock that was
    set forward and back leaves entries behind that are kept, with all after them, until it comes there again."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a topic at one moment."""

    epoch: str
    seq: int
    """Of the newest entry, trimmed or not; 0 before the first."""
    tag: str
    first_seq: int
    """Of the oldest entry that is retained; `seq + 1` when none is."""
    closed: bool = False

    @property
    def position(self) -> Position:
        """The position of the newest entry."""
        return Position(self.epoch, self.seq, self.tag)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries that follow each other, and the head at the same moment."""

    head: Head
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Appended:
    """What an `append` did."""

    epoch: str
    entries: tuple[Entry, ...]
    """Those of the batch. For a duplicate, those of the first `append` that are still retained."""
    position: Position
    """Of the batch's last entry. For a duplicate, as the first `append` returned it, retained or not."""
    duplicate: bool = False
    """The key had been used: nothing was appended now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much of a topic is kept; None is without bound. What is over any of the bounds goes, oldest first.

    Attributes:
        max_events: Entries.
        max_age: Seconds since an entry was appended.
        max_bytes: Bytes of payload, the newest entry never counted out.
        key_age: Seconds for which an idempotency key is remembered at least.
        forget_after: Seconds after which a topic whose entries are all gone is forgotten, epoch and all, unless
            something was appended meanwhile; counted from the last append, or from when its last entry went. A key
            that is remembered keeps it. Readers that come back later are told of a gap.

    Raises:
        ConfigurationError: a bound is not positive, or not a number.
    """

    max_events: int | None = 10_000
    max_age: float | None = 86_400.0
    max_bytes: int | None = 16 * 1024 * 1024
    key_age: float = 300.0
    forget_after: float | None = 7 * 86_400.0

    def __post_init__(self) -> None:
        for name in ("max_events", "max_bytes"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"{name}={value!r} is no bound: give an integer of 1 or more, or None")
        for name in ("max_age", "key_age", "forget_after"):
            value = getattr(self, name)
            if value is None and name != "key_age":
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                raise ConfigurationError(f"{name}={value!r} is not a time: give seconds, more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantees:
    """What a log can say of itself."""

    survives_process: bool
    """What was acknowledged is there after this process was killed."""
    survives_machine: bool
    """What was acknowledged is there after the machine lost its power, as far as its disk is honest."""
    shared: bool
    """Several processes that open the same URL see the same topics."""
    hints_may_be_lost: bool
    """`on_entries` may be missing without an `on_doubt`: heads have to be looked at every so often."""
    can_lose: str
    """When what was acknowledged can be lost, in one sentence, for people."""


class Listener(Protocol):
    """Who is told by a log; on the log's event loop, in plain calls that do not wait and do not raise."""

    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        """Entries have become visible; `closed` if the topic ends with the last of them (or with none)."""
        ...

    def on_doubt(self, topics: Collection[str] | None) -> None:
        """Something about these topics (None: all watched ones) may have been missed: look at the log."""
        ...

    def on_trouble(self, why: str | None) -> None:
        """The log is out of reach, so that nothing new is told, and this is why; None: it is within reach again.

        For people who look at a process, and for nothing else. Of what was missed meanwhile `on_doubt` tells.
        """
        ...


class Log(Protocol):
    """Where topics are kept, and who tells of what is new. See the module for the promises."""

    guarantees: Guarantees

    async def start(self, listener: Listener) -> None:
        """Open what is needed, and tell `listener` of watched topics from now on. Once, before all else.

        Raises:
            LogUnavailable: the place cannot be opened; the text says which, and why.
        """
        ...

    async def stop(self) -> None:
        """Finish what was begun and close everything. What is called afterwards raises `LogUnavailable`."""
        ...

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch.

        Raises:
            Fenced: a higher fence was used.
            TopicClosed: the topic was closed.
            ConfigurationError: the batch is empty and does not close, the fence is beyond 64 bits, or the topic or the
                key cannot be written as UTF-8.
            LogUnavailable: it cannot be said that it was appended.
        """
        ...

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return up to `limit` entries with a `seq` above `after`, and the head.

        Fewer than `limit` come only if there are no more, or when their payloads come near a megabyte in sum.

        Raises:
            LogUnavailable: it cannot be read now.
        """
        ...

    async def head(self, topic: str) -> Head:
        """Return the end of the topic.

        Raises:
            LogUnavailable: as `read`.
        """
        ...

    async def trim(self, topic: str, retention: Retention) -> int:
        """Drop what is over the bounds, keys and the topic itself included, and return how many entries went.

        A topic that there is not is not made. Of a watched topic that it forgot the log says so by `on_doubt`.

        Raises:
            LogUnavailable: as `read`.
        """
        ...

    async def topics(self) -> Sequence[str]:
        """Return the names of all topics that are kept, in any order; for the keeper of the retention.

        Raises:
            LogUnavailable: as `read`.
        """
        ...

    async def watch(self, topic: str) -> None:
        """Tell the listener of this topic from now on: of every entry that is appended after this has returned."""
        ...

    async def unwatch(self, topic: str) -> None:
        """Tell the listener no more of this topic."""
        ...


@runtime_checkable
class TransactionalLog(Log, Protocol):
    """A log in a database that applications have their own data in: it can append within their transactions."""

    async def append_within(
        self,
        connection: Any,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch in the transaction that `connection` is in: it exists if that is committed, and only then.

        It commits nothing, and rolls nothing back. Others that append to the topic wait for the transaction's end.

        Raises:
            ConfigurationError: what is given is no connection or session of a kind that is known.
            LogError: as `append` does.
        """
        ...

    def append_within_sync(
        self,
        connection: Any,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Do the same with a synchronous connection or session, in the thread that calls. Needs no `start`."""
        ...
