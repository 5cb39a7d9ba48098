"""A server that keeps topics: started, killed, taken back to an older state, and made to lose everything."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.faults.servers import reaper

__all__ = ["Engine", "free_port"]

READY_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0


class Engine(ABC):
    """One server with its data in a folder. A context manager: started at the beginning, killed at the end."""

    user: str | int | None = None
    """Whom it runs as, if not as the one who runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes]

    # What is its own.

    @property
    @abstractmethod
    def url(self) -> str:
        """What a hub is given."""

    @abstractmethod
    def prepare(self) -> None:
        """Make an empty `data`."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command of a server that stays in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers."""

    # What is the same for all.

    def through(self, port: int) -> str:
        """Return the URL through a proxy at this port."""
        parts = urlsplit(self.url)
        netloc = parts.netloc.replace(f":{self.port}", f":{port}")
        return parts._replace(netloc=netloc).geturl()

    def start(self) -> None:
        """Start it with the data that is there, and wait until it answers."""
        if not self.data.exists():
            self.prepare()
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, cwd=self.folder, user=self.user, start_new_session=True
            )
        self._reaper = reaper(self.process.pid)
        deadline = time.monotonic() + READY_TIMEOUT
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} does not answer:\n{self.output()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, as the system does when memory is short."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Have it end in good order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it, and start it with what is on its disk."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it in its place: connections stay open, and nothing answers."""
        assert self.process is not None
        self._signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # with many threads it takes a moment until the last has stopped

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    def copy(self, place: Path) -> None:
        """Copy the data as it is now, with a restart."""
        self.kill()
        shutil.copytree(self.data, place)
        self.start()

    def restore(self, place: Path) -> None:
        """Go back to a copy, as a failover to a replica that lagged does."""
        self.kill()
        shutil.rmtree(self.data)
        shutil.copytree(place, self.data)
        self._own(self.data)
        self.start()

    def lose(self) -> None:
        """Lose all data, as a container without a volume does."""
        self.kill()
        shutil.rmtree(self.data)
        self.start()

    def output(self) -> str:
        """Return what it has said."""
        return (self.folder / "output").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _own(self, place: Path) -> None:
        """Give files to the user whom the server runs as."""
        if self.user is not None:
            for path in (place, *place.rglob("*")):
                shutil.chown(path, self.user)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reaper.kill()
        self._reaper.communicate()


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
