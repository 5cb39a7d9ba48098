"""Under which subjects a topic stands in the stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from unbroken.errors import ConfigurationError

__all__ = ["Subjects"]

MAX_TOKEN = 3072
"""Bytes of a topic in a subject. The server takes lines of 4096 bytes, in which two subjects stand."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9_:/@,+~-]")
_QUOTED = re.compile(rb"=([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of one stream, which begin with `prefix`.

    For each topic: `topic` has its records, of which the last is its head; `key` the idempotency keys; `part` the
    payloads that are too large for a record; and on `live` each record is published once more when it is stored.
    """

    prefix: str

    @property
    def all(self) -> list[str]:
        """What the stream takes in. `live` is not among it: a stream must not hear itself."""
        return [f"{self.prefix}.topic.*", f"{self.prefix}.key.*.*", f"{self.prefix}.part.*"]

    @property
    def topics(self) -> str:
        """The records of all topics."""
        return f"{self.prefix}.topic.*"

    @property
    def republish(self) -> dict[str, str]:
        """From where to where the server publishes what it has stored."""
        return {"src": self.topics, "dest": f"{self.prefix}.live.{{{{wildcard(1)}}}}"}

    def topic(self, name: str) -> str:
        """Return where the records of a topic are."""
        return f"{self.prefix}.topic.{_quoted(name)}"

    def part(self, name: str) -> str:
        """Return where its large payloads are."""
        return f"{self.prefix}.part.{_quoted(name)}"

    def live(self, name: str) -> str:
        """Return where its records are told."""
        return f"{self.prefix}.live.{_quoted(name)}"

    def keys(self, name: str) -> str:
        """Return where all its keys are."""
        return f"{self.prefix}.key.{_quoted(name)}.*"

    def key(self, name: str, digest: str) -> str:
        """Return where one key is."""
        return f"{self.prefix}.key.{_quoted(name)}.{digest}"

    def name(self, subject: str) -> str:
        """Return which topic has this subject among `topics`."""
        token = subject.rpartition(".")[2].encode()
        return "" if token == b"=" else _QUOTED.sub(lambda found: bytes.fromhex(found[1].decode()), token).decode()


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    """Return a name as one token of a subject, as it is where it can be: people look at subjects."""
    token = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], name.encode()) or b"="
    if len(token) > MAX_TOKEN:
        raise ConfigurationError(
            f"the topic {name[:40]!r}… takes {len(token)} bytes in a subject of NATS: at most {MAX_TOKEN} are possible"
        )
    return token.decode()
