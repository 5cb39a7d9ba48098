"""The ASGI servers as processes: started on a free port, asked, stopped."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["APPLICATION", "SERVERS", "Server", "ServerKind", "reaper"]

APPLICATION = f"{__package__}.app:app"
ROOT = Path(__file__).parents[__package__.count(".") + 1]
START_TIMEOUT = 20.0
START_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One server in one configuration, as a command line with places for the address and the application."""

    name: str
    command: tuple[str, ...]

    def arguments(self, application: str, host: str, port: int) -> list[str]:
        """Fill the places."""
        places = {"{app}": application, "{host}": host, "{port}": str(port), "{host}:{port}": f"{host}:{port}"}
        return [sys.executable, "-m", *(places.get(word, word) for word in self.command)]


def _uvicorn(http: str, loop: str) -> ServerKind:
    address = ("--host", "{host}", "--port", "{port}")
    chosen = ("--http", http, "--loop", loop)
    return ServerKind(f"uvicorn-{http}-{loop}", ("uvicorn", "{app}", *address, *chosen, "--no-access-log"))


SERVERS = {
    kind.name: kind
    for kind in (
        _uvicorn("h11", "asyncio"),
        _uvicorn("h11", "uvloop"),
        _uvicorn("httptools", "asyncio"),
        _uvicorn("httptools", "uvloop"),
        _uvicorn("zttp", "asyncio"),
        _uvicorn("zttp", "uvloop"),
        ServerKind("hypercorn", ("hypercorn", "{app}", "--bind", "{host}:{port}")),
        ServerKind("granian", ("granian", "{app}", "--interface", "asgi", "--host", "{host}", "--port", "{port}")),
        ServerKind("daphne", ("daphne", "{app}", "--bind", "{host}", "--port", "{port}", "--verbosity", "0")),
        ServerKind(
            "gunicorn",
            (
                "gunicorn",
                "{app}",
                "--bind",
                "{host}:{port}",
                "-k",
                "uvicorn_worker.UvicornWorker",
                "--no-control-socket",
            ),
        ),
    )
}


class Server:
    """A running server process."""

    def __init__(self, kind: ServerKind, application: str, host: str, port: int) -> None:
        self.kind = kind
        self.host = host
        self.port = port
        self._stdout, self._stderr = Output(), Output()
        self.process = subprocess.Popen(
            kind.arguments(application, host, port),
            stdin=subprocess.DEVNULL,
            stdout=self._stdout.file,
            stderr=self._stderr.file,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # so that workers can be ended with their parent
        )
        self._reaper = reaper(self.process.pid)

    @classmethod
    def start(cls, which: str | ServerKind, application: str = APPLICATION, host: str = "127.0.0.1") -> Server:
        """Start a server, one of `SERVERS` by its name or any other, and return it once it answers.

        A port found free may be taken before the server binds it, and not every server can be
        handed a bound socket: so a server that ends at once is tried again on another port.
        """
        for _ in range(START_ATTEMPTS):
            server = cls._launch(SERVERS[which] if isinstance(which, str) else which, application, host)
            if server._answers():
                return server
            server.stop()
        raise RuntimeError(f"{server.kind.name} did not start:\n{server.stderr()}")

    @classmethod
    def restart(cls, ended: Server, application: str = APPLICATION) -> Server:
        """Start one like a server that has ended, at the same port; return it once it answers.

        As by what keeps processes running: one whose engine did not answer in time ends, and is started once more.
        """
        for _ in range(START_ATTEMPTS):
            server = cls(ended.kind, application, ended.host, ended.port)
            if server._answers():
                return server
            server.stop()
        raise RuntimeError(f"{server.kind.name} did not start again:\n{server.stderr()}")

    @classmethod
    def _launch(cls, kind: ServerKind, application: str, host: str) -> Server:
        return cls(kind, application, host, _free_port(host))

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return self.get("/health") == (200, b"well")
            except OSError:
                time.sleep(0.05)
        return False

    def get(self, path: str, method: str = "GET", timeout: float = 5.0) -> tuple[int, bytes]:
        """Make one request on a connection of its own; return status and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, path: str, method: str = "GET") -> Any:
        """Return what the application says of itself at `path`."""
        status, body = self.get(path, method)
        assert status == 200, (status, body)
        return json.loads(body)

    def stdout(self) -> str:
        """Return everything written to standard output so far."""
        return self._stdout.text()

    def stderr(self) -> str:
        """Return everything written to standard error so far."""
        return self._stderr.text()

    def ends_on(self, signal_number: int, timeout: float) -> bool:
        """Signal the main process, as a supervisor does, and say whether it ended within `timeout` seconds."""
        self.process.send_signal(signal_number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End the process and its workers: politely, then for good."""
        if self.process.poll() is None:
            self.ends_on(signal.SIGTERM, 2.0)
        self._reaper.kill()
        self._reaper.communicate()
        _kill_group(self.process.pid)
        self.process.wait()
        self._stdout.close()
        self._stderr.close()


class Output:
    """A nameless file that a process writes to; what it holds can be read at any time, and after the end."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._last: bytes | None = None

    def text(self) -> str:
        """Return all of it."""
        return self._written().decode(errors="replace")

    def _written(self) -> bytes:
        # Read beside the file's position: that is where the process goes on writing.
        size = 0 if self.file.closed else os.fstat(self.file.fileno()).st_size
        return self._last if self._last is not None else os.pread(self.file.fileno(), size, 0)

    def close(self) -> None:
        """Keep what was written, and give the file back."""
        self._last = self._written()
        self.file.close()


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


def reaper(leader: int) -> subprocess.Popen[bytes]:
    """Start what ends the group of `leader` if the tests are killed: its standard input ends with this process."""
    command = ["sh", "-c", f"cat; kill -KILL -{leader}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
