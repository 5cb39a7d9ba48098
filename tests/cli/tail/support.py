"""What the tests of `unbroken tail` share: a server that gives each connection its own bytes, and the command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from typer.testing import CliRunner, Result

from tests.diagnose.endpoint.serving import raw_server
from unbroken.cli.commands import app

__all__ = ["DEADLINE", "ODD_VARIABLES", "Answer", "Asked", "answering", "environment", "run", "tailing"]

DEADLINE = 20.0
ODD_VARIABLES = frozenset({"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"})


@dataclass(frozen=True)
class Answer:
    """What one connection gets."""

    body: bytes = b""
    ending: Literal["end", "cut", "hold"] = "end"
    """In good order, in the middle of the body, or when the client leaves."""
    status: int = 200
    content_type: str = "text/event-stream"
    headers: str = ""

    @property
    def head(self) -> bytes:
        """The response's head."""
        lines = (
            f"HTTP/1.1 {self.status} Told",
            f"Content-Type: {self.content_type}",
            "Transfer-Encoding: chunked",
            "Connection: close",
            self.headers,
        )
        return ("\r\n".join(line for line in lines if line) + "\r\n\r\n").encode()


@dataclass
class Asked:
    """What a server was asked, one after the other."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def last_event_ids(self) -> list[str | None]:
        """The `Last-Event-ID` of each request."""
        return [self.header(number, "last-event-id") for number in range(len(self.heads))]

    def header(self, number: int, name: str) -> str | None:
        """Return a header of a request."""
        for line in self.heads[number].split("\r\n"):
            before, _, value = line.partition(": ")
            if before.lower() == name:
                return value
        return None


@contextlib.contextmanager
def answering(*answers: Answer) -> Iterator[Asked]:
    """Run a server that gives each connection the next of the answers, and then says that there is nothing more."""
    asked = Asked()

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(asked.heads)
        asked.heads.append(head.decode("latin-1"))
        asked.bodies.append(await reader.readexactly(int(asked.header(number, "content-length") or 0)))
        if number >= len(answers):
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            return
        _send(answers[number], writer)
        if answers[number].ending == "hold":
            await reader.read()  # ends when the client leaves

    with raw_server(answer) as url:
        asked.url = f"{url}/events"
        yield asked


def _send(told: Answer, writer: asyncio.StreamWriter) -> None:
    writer.write(told.head)
    if told.body:
        writer.write(b"%x\r\n%b\r\n" % (len(told.body), told.body))
    if told.ending == "end":
        writer.write(b"0\r\n\r\n")


def run(*arguments: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["tail", *arguments], input=stdin, env=env)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process of its own, without what says how a terminal is to be treated."""
    return {name: value for name, value in os.environ.items() if name not in ODD_VARIABLES} | more


@contextlib.contextmanager
def tailing(*arguments: str, redirection: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process, as a shell does, its output in pipes unless it is redirected."""
    command = ("sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "unbroken", "tail", *arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()
