"""Seeing that several worker processes of one server have topics that are not shared: each would know a part."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any

from unbroken.observe import logger
from unbroken.servers import is_open, listeners

__all__ = ["Neighbours"]


class Neighbours:
    """Claims the place at which a server listens, for one hub's log that other processes do not see.

    The claim is a socket in Linux's abstract namespace: no file is left behind, and the system gives it up with
    the process. Elsewhere nothing is seen. A server that was started anew while the old one still drains at the
    same place looks the same as two workers; so it is said, and nothing is refused.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def look(self, server: Any) -> None:
        """Say it, once, if another process that serves the same place has a log of its own, too."""
        place = _name(server)
        if sys.platform != "linux" or place is None or place in self._seen:
            return
        self._seen.add(place)
        # An application that is called without a server, as tests do, has no neighbours at its place.
        if any(map(is_open, listeners(server))) and not _claim(place):
            logger.error(
                "several processes serve %s, and each has topics of its own in memory://: what is published in one "
                "does not reach the clients of the others. Use Hub('sqlite:///…'), or a single worker",
                place,
            )


_claims: dict[tuple[int, str], socket.socket] = {}
"""Of this process: several hubs in it are no neighbours."""


def _claim(place: str) -> bool:
    if (os.getpid(), place) in _claims:
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        claim.bind(f"\0unbroken hub {os.getuid()} {place}")
    except OSError:
        with contextlib.closing(claim):
            return False
    _claims[os.getpid(), place] = claim
    return True


def _name(server: Any) -> str | None:
    if not server:
        return None
    host, port = server
    return str(host) if port is None else f"{host}:{port}"
