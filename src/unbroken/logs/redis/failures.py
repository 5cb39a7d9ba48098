"""What the engine's errors mean, in words for people."""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from unbroken.errors import LogUnavailable

__all__ = ["Lost", "Refused", "code_of", "meaning_of", "node_of", "unavailable"]


class Lost(Exception):  # noqa: N818 # never leaves this package
    """The connection is gone, and no answer came."""

    def __init__(self, why: str, *, sent: bool = True) -> None:
        super().__init__(why)
        self.sent = sent
        """The engine may have had the command."""


class Refused(Lost):
    """The engine has answered that it will not, or too few replicas have what was written: not to be tried again."""


UNTOUCHED = frozenset(
    {"OOM", "MISCONF", "READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "CLUSTERDOWN", "CROSSSLOT", "MOVED", "BUSY"}
    | {"NOREPLICAS"}
)
"""Codes with which a script is refused before it begins."""


_CODES: tuple[tuple[type[Exception], str], ...] = (
    (NoScriptError, "NOSCRIPT"),
    (ReadOnlyError, "READONLY"),
    (OutOfMemoryError, "OOM"),
    (NoPermissionError, "NOPERM"),
    (AuthenticationError, "NOAUTH"),
    (BusyLoadingError, "LOADING"),
    (TryAgainError, "TRYAGAIN"),
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (ClusterCrossSlotError, "CROSSSLOT"),
)
"""What redis-py takes the code off; what is derived from another comes before it."""

_MEANINGS = {
    "OOM": "its memory is full (maxmemory): give it more, or keep less",
    "MISCONF": "it cannot save to its disk, and takes nothing until it can: look at its log",
    "READONLY": "it is a replica: name the primary, or its Sentinels",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "LOADING": "it is reading its data from disk, and answers when that is done",
    "NOPERM": "its ACL does not permit this: see the documentation for what is needed",
    "NOAUTH": "it wants another user or password: put them in the URL",
    "WRONGPASS": "it wants another user or password: put them in the URL",
    "CLUSTERDOWN": "its cluster does not serve this slot: a node is gone, and nothing has taken its place",
    "CROSSSLOT": "it is a cluster: give redis+cluster://",
    "MOVED": "it is a cluster: give redis+cluster://",
    "NOREPLICAS": "it has too few replicas in reach (min-replicas-to-write)",
    "BUSY": "somebody's script has run for too long there",
    "WRONGTYPE": "somebody else has a key of this name: give another prefix",
}


def code_of(error: BaseException) -> str:
    """Return the first word of an error as the engine says it."""
    named = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    return named or str(error).partition(" ")[0].upper()


def meaning_of(error: BaseException) -> str:
    """Return what an error says, and what helps."""
    said = str(error) or type(error).__name__
    meaning = _MEANINGS.get(code_of(error))
    return f"{said}; {meaning}" if meaning else said


def node_of(error: ResponseError) -> tuple[str, int] | None:
    """Return the node that a redirection names: `3999 host:port`; None where it does not know its host."""
    host, _, port = str(error).rpartition(" ")[2].rpartition(":")
    return (host, int(port)) if host else None


def unavailable(where: str, why: str, doing: str = "") -> LogUnavailable:
    """Return the error for people: which engine, what happened, what helps, and what became of the call."""
    return LogUnavailable(f"the log in Redis at {where} cannot be used: {why}" + (f" ({doing})" if doing else ""))
