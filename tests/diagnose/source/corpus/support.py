"""What the modules of the corpus have instead of the world: a model, a bus, a database; all of them at once there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator


class Model:
    """A language model that knows one sentence."""

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        """Yield the tokens of an answer."""
        for word in f"You said {prompt}".split():
            await asyncio.sleep(0.001)
            yield word + " "

    def stream_sync(self, prompt: str) -> Iterator[str]:
        """Yield the tokens of an answer, in the calling thread."""
        yield from (word + " " for word in f"You said {prompt}".split())


class Bus:
    """A broker whose every subscriber is sent three messages, and then none."""

    def __init__(self) -> None:
        self._left = 3

    async def __aenter__(self) -> Bus:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def subscribe(self, channel: str) -> None:
        """Do nothing: everybody hears everything."""

    async def unsubscribe(self, channel: str) -> None:
        """Undo it."""

    async def listen(self) -> AsyncIterator[dict[str, str]]:
        """Yield three messages, then wait for ever."""
        for number in range(3):
            yield {"type": "message", "data": f"message {number}"}
        await asyncio.Event().wait()

    async def get_message(self, timeout: float | None = None) -> dict[str, str] | None:
        """Return the next message, or None after `timeout` seconds."""
        if self._left:
            self._left -= 1
            return {"type": "message", "data": f"message {self._left}"}
        await asyncio.sleep(timeout if timeout is not None else 0)
        return None


class Jobs:
    """A table of jobs, each of which is done at the third look."""

    def __init__(self) -> None:
        self._looks: dict[str, int] = {}

    async def status(self, job: str) -> dict[str, object]:
        """Return how far a job has come."""
        looks = self._looks[job] = self._looks.get(job, 0) + 1
        return {"job": job, "percent": min(100, looks * 34), "done": looks >= 3}


async def get_db() -> AsyncIterator[Jobs]:
    """Yield a database, as a dependency of FastAPI."""
    yield Jobs()


def rest(seconds: float) -> None:
    """Hold the calling thread for that long."""
    time.sleep(seconds)
