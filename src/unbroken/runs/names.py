"""What runs, and the topics they are kept in, are called."""

from __future__ import annotations

import secrets
import unicodedata
from hashlib import blake2s
from typing import Final
from uuid import UUID

from unbroken.errors import ConfigurationError
from unbroken.hub.names import INTERNAL

__all__ = [
    "CONTROL",
    "DATA",
    "INDEX",
    "LEASE",
    "RESERVED",
    "SYSTEM",
    "Owner",
    "System",
    "UserId",
    "check_group",
    "check_id",
    "digest_of",
    "is_id",
    "new_id",
    "user_of",
]

INDEX = f"{INTERNAL}runs"
"""The topic of all starts, ends and requests to cancel."""
DATA = f"{INTERNAL}run:"
"""With the id: the topic of what a run sends."""
CONTROL = f"{INTERNAL}run-control:"
"""With the id: how a run is to be started again, and which processes have readers; only where that matters."""
LEASE = f"{INTERNAL}run-lease:"
"""With a process: its signs of life."""

MAX_ID_CHARS = 128
ID_BYTES = 16

RESERVED: Final = "run-"
"""What the types of the events begin with that a run's producer does not send itself."""


class System:
    """Stands for the application itself, which may read and cancel every run."""

    def __repr__(self) -> str:
        return "SYSTEM"


SYSTEM = System()
"""As `reader=` or `by=`: the application itself, whoever the run's owner is."""

UserId = str | int | UUID

Owner = UserId | System | None
"""Who a run belongs to, or who asks for it; None is nobody in particular."""


def new_id() -> str:
    """Return an id that cannot be guessed."""
    return secrets.token_urlsafe(ID_BYTES)


def is_id(text: object) -> bool:
    """Whether a run can be called so."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID_CHARS:
        return False
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def check_id(id: object) -> str:  # noqa: A002 # the field's own name
    """Return an id, or raise.

    Raises:
        ConfigurationError: it is no str of 1 to 128 characters that can be printed.
    """
    if not is_id(id):
        shown = repr(id)[:60]
        raise ConfigurationError(f"id={shown} is none: give a str of 1 to {MAX_ID_CHARS} characters, or None for a new")
    return str(id)


def check_group(group: object) -> str:
    """Return a group's name, empty for none, or raise.

    Raises:
        ConfigurationError: it is no str of 1 to 128 characters that can be printed.
    """
    if group is None:
        return ""
    if not is_id(group):
        raise ConfigurationError(f"group={repr(group)[:60]} is none: give a str of 1 to {MAX_ID_CHARS} characters")
    return str(group)


def digest_of(owner: Owner) -> str:
    """Return what stands for an owner in a log: user ids are nobody's to read there. Empty for nobody.

    Raises:
        ConfigurationError: it is neither a str nor an int nor a UUID.
    """
    if owner is None:
        return ""
    if isinstance(owner, bool) or not isinstance(owner, UserId):
        shown = repr(owner)[:60]
        raise ConfigurationError(f"{shown} is a {type(owner).__name__}: an owner is a str, an int or a UUID: user.id")
    return blake2s(_plain(owner).encode(), digest_size=12).hexdigest()


def _plain(owner: UserId) -> str:
    """Return the owner with his type: 7 is not "7"; what is derived from one of them is that one."""
    match owner:
        case str():
            return f"str:{str.__str__(owner)}"
        case int():
            return f"int:{int(owner)}"
    return f"UUID:{owner}"


def user_of(owner: Owner) -> str | int | None:
    """Return who reads, as the hub knows users for `Hub.revoke`."""
    if isinstance(owner, UUID):
        return str(owner)
    return None if isinstance(owner, System) else owner
