"""Several servers, what befalls them, and what a client asks of them."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.faults.servers import Server
from unbroken.logs import Position
from unbroken.wire import Decoder

from . import site
from .app import Settings
from .oracle import Fate, Line, Story

__all__ = ["System", "until"]

PATIENCE = 20.0
"""Seconds for whatever has to come about."""
ANSWER_TIMEOUT = 2.0
PROBE_TIMEOUT = 0.5
RETRY_INTERVAL = 0.05


async def until(condition: Callable[[], Awaitable[bool]], awaited: str, timeout: float = PATIENCE) -> None:
    """Wait until it holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"{awaited} did not come about within {timeout:g} s"
        await asyncio.sleep(RETRY_INTERVAL)


class System:
    """Servers with one log. An asynchronous context manager: they answer at the beginning, and are gone at the end.

    Attributes:
        fates: What befell which process, by its number.
    """

    def __init__(self, settings: Settings, servers: int, rng: random.Random) -> None:
        self.servers: list[Server] = []
        self.fates: dict[int, Fate] = {}
        self._settings = settings
        self._count = servers
        self._rng = rng
        self._stack = AsyncExitStack()
        self._gone: list[Server] = []
        self._returning: dict[int, asyncio.Task[None]] = {}
        self._client = httpx2.AsyncClient(timeout=ANSWER_TIMEOUT)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        started = (asyncio.to_thread(site.start, self._settings) for _ in range(self._count))
        self.servers = list(await asyncio.gather(*started))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._returning.values(), return_exceptions=True)
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self.servers))
        await self._stack.aclose()
        if error is not None:
            for server in (*self._gone, *self.servers):
                print(f"what the server at {server.port} said:\n{server.stderr()[-4000:]}")

    # What is asked of them.

    def url(self, number: int) -> str:
        """Return the address of one server."""
        return f"http://{self.servers[number].host}:{self.servers[number].port}"

    def anybody(self) -> str:
        """Return the address of some server, of one that is away perhaps."""
        return self.url(self._rng.randrange(self._count))

    async def ask(self, number: int, path: str) -> Any:
        """Return what one server says of itself."""
        try:
            answer = await self._client.get(self.url(number) + path)
        except httpx2.TransportError:  # the connection was one to the server that was here before
            answer = await self._client.get(self.url(number) + path)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    async def post(
        self, path: str, json: Any = None, first: int | None = None, *, stays: bool = False
    ) -> httpx2.Response:
        """Post to anybody, to one of them first, until there is an answer that is none of a server that goes.

        With `stays` it is that one only: it answers, if late.
        """
        deadline = time.monotonic() + PATIENCE
        url = self.anybody() if first is None else self.url(first)
        while True:
            try:
                answer = await self._client.post(url + path, json=json)
                if answer.status_code != 503:
                    return answer
            except httpx2.TransportError:
                pass
            assert time.monotonic() < deadline, f"nobody answers POST {path}"
            await asyncio.sleep(RETRY_INTERVAL)
            url = url if stays else self.anybody()

    async def start(
        self,
        run: str,
        producer: str,
        args: Sequence[Any],
        *,
        first: int | None = None,
        stays: bool = False,
        **options: Any,
    ) -> None:
        """Start a run, by anybody, or by one of them if it answers; with `stays` by no other."""
        wanted = {"id": run, "producer": producer, "args": args, "options": options}
        answer = await self.post("/runs", wanted, first, stays=stays)
        assert answer.status_code == 200, (answer.status_code, answer.text)

    async def story(self, run: str) -> Story:
        """Return what the log has of a run."""
        said = await self.ask(-1, f"/log/{run}")
        lines = list[Line]()
        for seq, tag, payload in said["entries"]:
            position = str(Position(said["epoch"], seq, tag))
            lines += [Line(position, it.event, it.data) for it in Decoder().feed(payload.encode() + b"\n")]
        return Story(lines, said["closed"])

    # What befalls them. The last one is spared.

    async def kill(self, number: int) -> None:
        """Kill a server as the system does when memory is short, and have it come back."""
        self._befall(number, "killed", signal.SIGKILL)
        self._return(number)

    async def terminate(self, number: int) -> None:
        """End a server as a deployment does, and have it come back."""
        self._befall(number, "terminated", signal.SIGTERM)
        self._return(number)

    async def freeze(self, number: int) -> None:
        """Have a server stand still until its runs are others', and then go on; return when it has given up."""
        process = (await self.ask(number, "/stand"))["process"]
        self.fates[self.servers[number].process.pid] = "frozen"
        await self._stop_outside_of_a_lock(number)
        taken = set(await self._runs_of(process))
        try:
            await until(lambda: self._has_none(process), "the takeover of a process that stands still")
        finally:
            self.servers[number].process.send_signal(signal.SIGCONT)

        async def has_given_up() -> bool:
            return not taken & set((await self.ask(number, "/stand"))["producing"])

        await until(has_given_up, "the end of what was taken over")

    async def is_back(self, number: int) -> None:
        """Wait for a server that is coming back."""
        if number in self._returning:
            await self._returning.pop(number)

    def _befall(self, number: int, fate: Fate, how: int) -> None:
        process = self.servers[number].process
        self.fates[process.pid] = fate
        process.send_signal(how)

    def _return(self, number: int) -> None:
        async def restart() -> None:
            ended = self.servers[number]
            await asyncio.to_thread(ended.process.wait, PATIENCE)
            self.servers[number] = await asyncio.to_thread(Server.restart, ended, "")
            await asyncio.to_thread(ended.stop)
            self._gone.append(ended)

        self._returning[number] = asyncio.create_task(restart())

    async def _stop_outside_of_a_lock(self, number: int) -> None:
        """A process that stands still in the midst of a write to a file has everybody wait, and nobody take over."""
        process = self.servers[number].process
        while True:
            process.send_signal(signal.SIGSTOP)
            try:
                await self._client.post(self.url(-1) + "/probe", timeout=PROBE_TIMEOUT)
                return
            except httpx2.TimeoutException:
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(self._rng.uniform(0, RETRY_INTERVAL))

    async def _runs_of(self, process: str) -> list[str]:
        running = (await self.ask(-1, "/stand"))["running"]
        return [run for run, holder, _ in running if holder == process]

    async def _has_none(self, process: str) -> bool:
        return not await self._runs_of(process)
