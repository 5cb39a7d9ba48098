"""A process of its own for each part that is measured: its arguments are JSON, and so is each line that it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.server import ROOT, SERVER_CORE, pin

__all__ = ["Worker", "connections", "hear", "run", "say"]

LIFETIME = 120
"""Seconds after which a worker ends by itself, so that nobody waits for it for ever."""


class Worker:
    """The parent's handle of one: ended with it."""

    def __init__(self, role: str, **arguments: Any) -> None:
        command = [sys.executable, "-m", f"benchmarks.engines.{role}", json.dumps(arguments)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, process_group=0)
        self._name = f"{role} of {arguments.get('layer')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def hear(self) -> dict[str, Any]:
        """Wait for the next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self._name} ended too soon; its own words are above")
        said: dict[str, Any] = json.loads(line)
        return said

    def say(self, **what: Any) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: it says no more, which is seen
            print(json.dumps(what), file=self._process.stdin, flush=True)


def run(main: Callable[..., Coroutine[Any, Any, None]], *, measured: bool) -> None:
    """Be a worker: on the core for what is measured, or on the one that all others share with the engine."""
    import uvloop

    signal.alarm(LIFETIME)
    if measured:
        pin(SERVER_CORE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(**json.loads(sys.argv[1])))


def say(**what: Any) -> None:
    """Say a line to the parent."""
    print(json.dumps(what), flush=True)


async def hear() -> dict[str, Any]:
    """Wait for what the parent says."""
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        raise SystemExit("the parent is gone")
    said: dict[str, Any] = json.loads(line)
    return said


def connections(url: str) -> int:
    """Count the connections that this process has to the engine."""
    port = urlsplit(url).port
    return sum(_peer(int(name)) == port for name in os.listdir("/proc/self/fd")) if port else 0


def _peer(descriptor: int) -> int | None:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            name = connection.getpeername()
    except OSError:  # closed meanwhile, or not connected
        return None
    return int(name[1]) if isinstance(name, tuple) else None
