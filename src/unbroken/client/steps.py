"""What a client is to do next."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Connect", "Read", "Step", "Stop", "Wait"]


@dataclass(frozen=True, slots=True)
class Connect:
    """Send the request, and tell `opened`, `refused`, `finished` or `failed`."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next piece of the body, and tell `received`, `ended` or `failed`."""

    idle_timeout: float | None
    """Seconds without a byte after which the connection is dead."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let go of the response, wait, and tell `waited`."""

    delay: float


@dataclass(frozen=True, slots=True)
class Stop:
    """There is nothing more to do but to raise the error, once, if there is one."""

    error: Exception | None = None


Step = Connect | Read | Wait | Stop
