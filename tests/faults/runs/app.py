"""The application of the servers under test: it starts runs as it is told, streams them, and says what it knows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from unbroken import Hub
from unbroken.errors import LogUnavailable, RunConflict, RunEnded, RunNotFound, RunsClosing
from unbroken.runs import SYSTEM, CancelWhenUnwatched, Run, Runs
from unbroken.runs.names import DATA

from .gate import Gate
from .ledger import Ledger

__all__ = ["HEARTBEAT", "Settings", "make_app"]

HEARTBEAT = 0.5
PROBE = "probe"
STATUSES = {RunNotFound: 404, RunConflict: 409, RunsClosing: 503, LogUnavailable: 503}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server is told when it starts."""

    url: str
    """Of the log."""
    folder: str
    """Of the ledgers."""
    lease: float
    ttl: float
    cleanup_timeout: float = 1.0
    rounds: float | None = None
    """Seconds between two rounds of the hub's keeper, and for which a topic is followed when nobody reads it any more;
    None leaves both as they are."""
    mutation: str | None = None


def make_app(settings: Settings) -> Starlette:
    """Return the application of one server."""
    site = _Site(settings)
    return Starlette(
        lifespan=site.runs.lifespan,
        exception_handlers=dict.fromkeys(STATUSES, _say_so),
        routes=[
            Route("/runs", site.start, methods=["POST"]),
            Route("/runs/{id}", site.follow),
            Route("/runs/{id}/cancel", site.cancel, methods=["POST"]),
            Route("/log/{id}", site.log),
            Route("/topics", site.topics),
            Route("/stand", site.stand),
            Route("/probe", site.probe, methods=["POST"]),
            Route("/health", _health),
        ],
    )


class _Site:
    """One server's runs."""

    def __init__(self, settings: Settings) -> None:
        self.hub = Hub(settings.url)
        self.runs = Runs(self.hub, lease=settings.lease, ttl=settings.ttl, cleanup_timeout=settings.cleanup_timeout)
        self.folder = Path(settings.folder)
        self.ledger = Ledger(self.folder)
        self.sent: dict[str, int] = {}
        """The last item of each run that is produced here."""
        self.runs.producer("count")(self.count)
        self.runs.producer("relay")(self.relay)

    # What produces.

    async def count(
        self, run: Run, items: int, pause: float, snapshot_every: int, is_acknowledged: bool, gate: str = ""
    ) -> None:
        """Send numbers, the last one once the gate is open, and one more when it is cancelled; write down each."""
        self.ledger.write("begun", run.id, run.attempt)
        number = 0
        try:
            for number in range(items):
                if gate and number == items - 1:
                    await Gate(self.folder, gate).passed(pause)
                await self._send(run, number, is_acknowledged)
                if snapshot_every and number % snapshot_every == snapshot_every - 1:
                    await run.snapshot({"attempt": run.attempt, "number": number})
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            await self._send(run, -1, is_acknowledged)
            raise
        finally:
            self.ledger.write("ended", run.id, run.attempt, number)
        if items % 2:
            await run.finish({"items": items})

    async def _send(self, run: Run, number: int, is_acknowledged: bool) -> None:
        try:
            await run.send({"attempt": run.attempt, "number": number})
        except RunEnded:
            self.ledger.write("refused", run.id, run.attempt, number)
            raise
        self.sent[run.id] = number
        if is_acknowledged:
            self.ledger.write("sent", run.id, run.attempt, number)

    async def relay(self, run: Run, upstream: str) -> None:
        """Send on what a model sends, as a generator around its client does."""
        self.ledger.write("begun", run.id, run.attempt)
        async for line in _lines(upstream):
            await run.send(line)

    # What is asked for.

    async def start(self, request: Request) -> Response:
        """Start a run; stream it, if that is wanted."""
        wanted: dict[str, Any] = await request.json()
        options = wanted["options"]
        if isinstance(options.get("on_disconnect"), int | float):
            options["on_disconnect"] = CancelWhenUnwatched(options["on_disconnect"])
        run = await self.runs.start(wanted["producer"], *wanted["args"], id=wanted["id"], **options)
        if "stream" in request.query_params:
            return run.response(request, heartbeat=HEARTBEAT)
        return JSONResponse({"id": run.id, "process": os.getpid()})

    async def follow(self, request: Request) -> Response:
        """Stream a run."""
        return await self.runs.response(request.path_params["id"], request, heartbeat=HEARTBEAT)

    async def cancel(self, request: Request) -> Response:
        """Cancel a run."""
        info = await self.runs.cancel(request.path_params["id"], by=SYSTEM)
        return PlainTextResponse(info.status)

    # What it says.

    async def log(self, request: Request) -> Response:
        """Answer with all that a run's topic holds."""
        topic, entries = DATA + request.path_params["id"], list[list[Any]]()
        log = self._works.desk.log
        page = await log.read(topic, 0, 1000)
        while page.entries:
            entries += [[entry.seq, entry.tag, entry.payload.decode()] for entry in page.entries]
            page = await log.read(topic, page.entries[-1].seq, 1000)
        return JSONResponse({"epoch": page.head.epoch, "closed": page.head.closed, "entries": entries})

    async def topics(self, _: Request) -> Response:
        """Answer with the topics that the log has, and how many entries of each are kept."""
        log = self._works.desk.log
        heads = {name: await log.head(name) for name in await log.topics()}
        return JSONResponse({name: head.seq - head.first_seq + 1 for name, head in heads.items()})

    async def stand(self, _: Request) -> Response:
        """Answer with who this process is, what it has heard of running and of others', and what it produces."""
        works = self._works
        running = [[record.run, record.process, record.attempt] for record in works.index.running]
        records = works.index._records.values()
        away = [record.run for record in records if not record.is_running or record.process != works.process]
        producing = list(works._productions)
        said = {"process": works.process, "running": running, "away": away, "producing": producing, "sent": self.sent}
        return JSONResponse(said)

    async def probe(self, _: Request) -> Response:
        """Append something, to see whether anybody can."""
        return PlainTextResponse(str(await self.hub.publish(PROBE, "well")))

    @property
    def _works(self) -> Any:
        return self.runs._works


async def _lines(url: str) -> AsyncIterator[str]:
    async with httpx2.AsyncClient() as client, client.stream("GET", url) as response:
        async for line in response.aiter_lines():
            yield line


async def _say_so(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), next(status for kind, status in STATUSES.items() if isinstance(error, kind)))


async def _health(_: Request) -> Response:
    return PlainTextResponse("well")
