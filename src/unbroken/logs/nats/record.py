"""What stands in the stream: records, each with entries and the state of its topic after them.

The last record of a topic is its head; so one message that the server takes, or refuses because another came before
it, is a whole append. A record is text up to its second line feed, so that it can be read with NATS's own tools:

    {"v":1,"id":"9f…","kind":"append","epoch":"a1…","seq":42,"tag":"…",…}    the state
    {"previous":"…","entries":[["tag",200,1700000000.0],…],"parts":0}         what is appended: tag, bytes, when
    the payloads, one behind the other; or nothing, where `parts` messages before this one have them
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from unbroken.logs.contract import Entry, Head
from unbroken.logs.position import Position, new_token

__all__ = ["APPEND", "FORGET", "TRIM", "Record", "State", "Use", "digest_of"]

APPEND, TRIM, FORGET = "append", "trim", "forget"
"""What a record does. After `forget` there is no topic, and whoever comes next begins a new one."""

VERSION = 1
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Use:
    """What an append with a key did."""

    digest: str
    """Of the key, which may be long."""
    epoch: str
    first: int
    seq: int
    tag: str
    at: float

    @property
    def position(self) -> Position:
        """What the append returned."""
        return Position(self.epoch, self.seq, self.tag)

    def values(self) -> list[Any]:
        """Return what it is made of again."""
        return [self.digest, self.epoch, self.first, self.seq, self.tag, self.at]

    def encode(self) -> bytes:
        """Return it as a message of its own."""
        return _json(self.values())

    @classmethod
    def decode(cls, data: bytes) -> Use:
        """Read such a message.

        Raises:
            ValueError: it is none of ours.
        """
        try:
            return cls(*json.loads(data))
        except TypeError as error:
            raise ValueError("it is no key of unbroken") from error


def digest_of(key: str) -> str:
    """Return what stands for a key."""
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that is to be known of a topic at one moment, besides its entries and keys."""

    epoch: str
    seq: int = 0
    tag: str = ""
    first: int = 1
    """`seq` of the oldest entry that is retained."""
    size: int = 0
    """Bytes of payload that are retained."""
    closed: bool = False
    fence: int | None = None
    idle_since: float
    """When something was appended last, or the last entry went."""
    keys: tuple[Use, ...] = ()
    """The newest uses of keys; older ones have messages of their own."""
    stored_keys_since: float | None = None
    """None of those was stored earlier; None: there are none."""
    parted: bool = False
    """It has, or had, payloads that are kept in parts."""

    @property
    def is_keyed(self) -> bool:
        """Whether a key is remembered."""
        return bool(self.keys) or self.stored_keys_since is not None

    @property
    def kept(self) -> int:
        """How many entries are retained."""
        return self.seq - self.first + 1

    @property
    def position(self) -> Position:
        """The position of the newest entry."""
        return Position(self.epoch, self.seq, self.tag)

    @property
    def head(self) -> Head:
        """The same, as the contract has it."""
        return Head(self.epoch, self.seq, self.tag, self.first, self.closed)


@dataclass(frozen=True, slots=True)
class Line:
    """An entry without its payload."""

    tag: str
    size: int
    appended_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A message of a topic."""

    state: State
    kind: str = APPEND
    id: str = field(default_factory=lambda: new_token(ID_BYTES))
    """Random: whoever had no answer knows its own record again."""
    previous: str = ""
    lines: tuple[Line, ...] = ()
    parts: int = 0
    payloads: bytes = b""
    """Of all entries; empty where they are in parts."""
    place: int = 0
    """Its sequence in the stream; 0 before it is stored."""

    @property
    def before(self) -> int:
        """`seq` of the entry before its first."""
        return self.state.seq - len(self.lines)

    def entries(self) -> tuple[Entry, ...]:
        """Return its entries, trimmed or not; of a record with parts after `filled` only."""
        entries, seq, previous, start = list[Entry](), self.before, self.previous, 0
        for line in self.lines:
            seq, end = seq + 1, start + line.size
            entries.append(Entry(seq, line.tag, previous, self.payloads[start:end], line.appended_at))
            previous, start = line.tag, end
        return tuple(entries)

    def filled(self, parts: Sequence[bytes]) -> Record:
        """Return the record with the payloads that were in parts."""
        return replace(self, payloads=b"".join(parts), parts=0)

    def encode(self) -> bytes:
        """Return the message."""
        state = {"v": VERSION, "id": self.id, "kind": self.kind}
        state.update((name, getattr(self.state, name)) for name in _FIELDS)  # asdict() copies all, which takes longer
        state["keys"] = [use.values() for use in self.state.keys]
        lines = [(line.tag, line.size, line.appended_at) for line in self.lines]
        table = {"previous": self.previous, "entries": lines, "parts": self.parts}
        return b"%s\n%s\n%s" % (_json(state), _json(table), self.payloads)

    @classmethod
    def decode(cls, data: bytes, place: int) -> Record:
        """Read a message.

        Raises:
            ValueError: it is none of ours, or of a later version.
        """
        first, second, payloads = data.split(b"\n", 2)
        state, table = json.loads(first), json.loads(second)
        try:
            if state.pop("v") != VERSION:
                raise ValueError("it was written by a later version of unbroken")
            return cls(
                id=state.pop("id"),
                kind=state.pop("kind"),
                state=State(**{**state, "keys": tuple(Use(*use) for use in state["keys"])}),
                previous=table["previous"],
                lines=tuple(Line(*line) for line in table["entries"]),
                parts=table["parts"],
                payloads=payloads,
                place=place,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is no record of unbroken") from error


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_FIELDS = tuple(field.name for field in fields(State))
