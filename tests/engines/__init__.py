"""The engines that logs are kept in, for real: a server of its own for whoever asks, on a free port of loopback."""

from .engine import Engine, free_port

__all__ = ["Engine", "free_port"]
