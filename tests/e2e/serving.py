"""An application in a process of its own, which can be killed and started again on the same port."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Served", "served"]

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """A server that runs. While it is killed, those who connect wait for the next: the socket is ours."""

    def __init__(self, listener: socket.socket, command: list[str], environment: dict[str, str]) -> None:
        self.port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/"
        self._fd = listener.fileno()
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process = self._run()

    def restart(self) -> None:
        """Kill it, and start it anew."""
        self.kill()
        self._process = self._run()

    def kill(self) -> None:
        """Kill it as the kernel would: it learns nothing of it."""
        self._process.kill()
        self._process.wait()

    def _run(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT, pass_fds=[self._fd], env=self._environment)


@contextmanager
def served(folder: str | Path, **environment: str) -> Iterator[Served]:
    """Serve the `app` of the `app.py` in a folder of the project."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "tests.e2e.serving", str(listener.fileno()), str(ROOT / folder)]
        server = Served(listener, command, environment)
        try:
            yield server
        finally:
            server.kill()


def _serve(fd: int, folder: str) -> None:
    import uvicorn

    sys.path.insert(0, folder)
    app = importlib.import_module("app").app
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
