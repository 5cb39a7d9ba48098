"""`Runs`: streams that outlive their client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from unbroken.errors import ConfigurationError, LogUnavailable, RunsClosing
from unbroken.hub.hub import Hub
from unbroken.observe import logger
from unbroken.runs.access import not_open
from unbroken.runs.keeping import reserve
from unbroken.runs.names import Owner, UserId, check_group
from unbroken.runs.options import RunsOptions
from unbroken.runs.presence import OnDisconnect
from unbroken.runs.producing import Producer
from unbroken.runs.record import OnOrphan, RunInfo
from unbroken.runs.registry import Registry, check_name
from unbroken.runs.response import Origin, not_found, unavailable
from unbroken.runs.run import Run
from unbroken.runs.starting import OnConflict, order_of, start
from unbroken.runs.works import Works

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["Runs"]

F = TypeVar("F", bound=Callable[..., Any])


class Runs:
    """Producers that go on when their client is gone: what they send is kept, and read by whoever comes back.

        hub = Hub("sqlite:///runs.db")
        runs = Runs(hub)
        app = FastAPI(lifespan=runs.lifespan)

        async def answer(run: Run, prompt: str) -> None:
            async for token in model(prompt):
                await run.send(token)

        @app.post("/chat")
        async def chat(request: Request, prompt: str, user: User):
            run = await runs.start(answer, prompt, owner=user.id)
            return run.response(request)

        @app.get("/chat/{id}")
        async def follow(request: Request, id: str, user: User):
            return await runs.response(id, request, reader=user.id)

    Each run ends with exactly one event, `run-end`, whatever happens to its process. Every process of a site makes the
    same `Runs` over the same log, and sees all runs. To be used on the hub's loop, while it is open.

    Args:
        hub: Keeps what is sent. Its own retention does not hold for runs.
        lease: Seconds after which a process that gives no sign of life is taken for dead. It gives one every third.
        ttl: Seconds for which a run can be read after its last event.
        max_events: The most events of a run, in each attempt. One that sends more ends with `error`.
        max_bytes: The most bytes.
        max_per_owner: The most runs of an owner that are running at a time; None is no bound.
        compact: Drop what comes before a run's last snapshot, half a minute after its end.
        cleanup_timeout: Seconds that a producer has once it was cancelled.
        shutdown_grace: Seconds that runs may go on when this is closed, before they are interrupted.

    Raises:
        ConfigurationError: an argument is none of its values.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        lease: float = 15.0,
        ttl: float = 3600.0,
        max_events: int = 20_000,
        max_bytes: int = 16 * 1024 * 1024,
        max_per_owner: int | None = None,
        compact: bool = False,
        cleanup_timeout: float = 10.0,
        shutdown_grace: float = 0.0,
    ) -> None:
        self._options = RunsOptions(
            lease=lease,
            ttl=ttl,
            max_events=max_events,
            max_bytes=max_bytes,
            max_per_owner=max_per_owner,
            compact=compact,
            cleanup_timeout=cleanup_timeout,
            shutdown_grace=shutdown_grace,
        )
        self._hub = hub
        self._registry = Registry()
        self._works: Works | None = None
        self._opened_hub = False
        reserve(hub, ttl, self._ttl_of)

    # Open and closed.

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Keep the runs, and their hub, open for an application's life: `FastAPI(lifespan=runs.lifespan)`."""
        async with self:
            yield

    async def __aenter__(self) -> Runs:
        """Open the runs, and their hub, on this event loop."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the runs; and their hub, unless it was open before."""
        await self.close()

    async def open(self) -> None:
        """Open the runs, and their hub if it is not open.

        Raises:
            ConfigurationError: they are open already.
            LogUnavailable: the log cannot be opened.
        """
        if self._works is not None:
            raise ConfigurationError("these runs are open already: open them once, by their lifespan")
        home = self._hub._home
        self._opened_hub = home.engine is None or not home.engine.is_ours()
        works = Works(home, await home.open(), self._options, self._registry, self._hub._max_event_bytes)
        try:
            await works.open()
        except BaseException:
            await self._close_hub()
            raise
        self._works = works

    async def close(self) -> None:
        """Start nothing more; end what is running here with `interrupted`, or leave it to other processes.

        Producers are cancelled, and have `cleanup_timeout` seconds.
        """
        works = self._works
        if works is None:
            return
        try:
            await works.close()
        finally:
            self._works = None
            await self._close_hub()

    # Producing.

    def producer(self, name: str) -> Callable[[F], F]:
        """Give a producer a name, by which it is started, and by which another process can start it again.

            @runs.producer("report")
            async def report(run: Run, year: int) -> None: ...

        Args:
            name: The same in each process.

        Raises:
            ConfigurationError: another producer has that name.
        """
        check_name(name)

        def register(function: F) -> F:
            self._registry.add(name, function)
            return function

        return register

    async def start(
        self,
        producer: Producer | str,
        *args: Any,
        id: str | None = None,  # noqa: A002 # the field's own name
        owner: UserId | None = None,
        group: str | None = None,
        on_disconnect: OnDisconnect = "continue",
        on_conflict: OnConflict = "attach",
        on_orphan: OnOrphan = "fail",
        timeout: float | None = None,
        coalesce: float = 0.0,
        max_attempts: int = 3,
        max_events: int | None = None,
        max_bytes: int | None = None,
        ttl: float | None = None,
    ) -> Run:
        """Start a run, or return the one that is there; whoever asked may leave.

        The producer runs in a task of its own, in an empty context: what it needs of the request is given to it. It is
        an async function, called with the `Run` and `args`; an async generator function,
        called with `args` alone, or anything that can be iterated asynchronously: what it yields is sent, data,
        `(event, data)` or a `ServerSentEvent`.

        Args:
            producer: What produces; or the name that `producer` gave it.
            args: Its arguments. For `on_orphan="restart"` they must have a form in JSON, and come back as JSON has
                them.
            id: 1 to 128 characters; None makes one that cannot be guessed. As long as the log has a run of this id,
                it is that one: a repeated request starts nothing twice.
            owner: Who alone may read and cancel it: a str, an int or a UUID. Without one, whoever knows the id.
            group: What it belongs to, such as a conversation; of each owner by itself. For `active`, and for
                `on_conflict`.
            on_disconnect: When its last reader leaves, go on (`"continue"`), or be cancelled: at once (`"cancel"`),
                or after some time (`CancelWhenUnwatched(seconds)`). Readers whose stream the server ended, and the
                first one, have 10 seconds at least.
            on_conflict: If a run of this id is there, or one is running in this group: return that one (`"attach"`),
                raise (`"reject"`), or, in a group, cancel that one and start this (`"interrupt"`).
            on_orphan: When its process dies, the run is `lost` (`"fail"`); or another process starts it again, from
                the beginning (`"restart"`), for which its producer needs a name.
            timeout: Seconds that it may take, in each attempt.
            coalesce: Seconds for which what is sent may wait for more, to be appended together. Text of one type
                becomes one event.
            max_attempts: How often a run that is restarted may begin; then it is `lost`.
            max_events: The most events of this run, in each attempt; None is that of all.
            max_bytes: The most bytes, the same.
            ttl: Seconds for which this run can be read after its last event: from two leases to that of all.

        Raises:
            RunConflict: a run is there, and `on_conflict` says so, or it is another owner's.
            TooManyRuns: the owner has as many as he may.
            RunsClosing: this process is shutting down.
            ConfigurationError: an argument is none of its values, or the runs are not open.
            LogUnavailable: it cannot be started now.
        """
        works = self._here()
        if works.is_closing:
            raise RunsClosing("this process is shutting down, and starts no more runs: ask another one, or ask again")
        order = order_of(
            self._registry,
            producer,
            args,
            id=id,
            owner=owner,
            group=group,
            on_disconnect=on_disconnect,
            on_conflict=on_conflict,
            on_orphan=on_orphan,
            timeout=timeout,
            coalesce=coalesce,
            max_attempts=max_attempts,
            max_events=max_events,
            max_bytes=max_bytes,
            ttl=ttl,
            options=self._options,
        )
        # Whoever asked may be gone before the run has begun: it begins all the same, and has an end.
        run = await asyncio.shield(works.spawn_start(start(works, order)))
        run.owner = owner
        return run

    # Reading.

    async def response(
        self,
        id: str,  # noqa: A002 # the field's own name
        request: Request,
        *,
        reader: Owner = None,
        origin: Origin = "start",
        **options: Any,
    ) -> Response:
        """Return the response for a route that streams a run, running or not: from where the client was.

        A client that brings no cursor (`Last-Event-ID`, or `last_event_id` in the query) begins where the query's
        `from` says, or else `origin`. 404 for an id that is none, or another owner's; 204 for a client that has seen
        the end, which makes a browser stop; 503 while the log is out of reach.

        Args:
            id: The run's.
            request: The request.
            reader: Who asks: the owner, for a run that has one; or `SYSTEM`.
            origin: `"start"`, `"snapshot"` (the newest, or else the start), or `"now"`.
            **options: As in `Hub.response`: `heartbeat`, `headers`, `max_age`, `on_close` and the like.

        Raises:
            ConfigurationError: an argument is none of its values, or the runs are not open.
        """
        try:
            record = await self._here().access.find(id, reader)
        except LogUnavailable as exc:
            logger.error("a stream of a run was refused: %s", exc)
            return unavailable()
        if record is None:
            return not_found()
        return self._here().access.stream(record, request, user=reader, origin=origin, **options)

    def router(
        self,
        prefix: str = "/runs",
        *,
        owner: Callable[..., Any] | None = None,
        tags: Sequence[str | Enum] = ("runs",),
        **options: Any,
    ) -> APIRouter:
        """Return the routes for all of these: `app.include_router(runs.router(owner=current_user_id))`.

        `GET {prefix}` is what is active, `GET {prefix}/{id}` the stream, `GET {prefix}/{id}/info` how it stands, and
        `POST {prefix}/{id}/cancel` cancels it. Needs FastAPI.

        Args:
            prefix: Of their paths.
            owner: Says who asks: a dependency of FastAPI, or a function of the request (one parameter, no type, no
                default), `async` or else called in a thread. It returns a str, an int, a UUID, or `SYSTEM` for who may
                all, or None; it may raise `HTTPException`. Without it, runs without an owner can be read.
            tags: Of their operations in OpenAPI.
            **options: Of the streams, as in `response`.

        Raises:
            MissingExtraError: FastAPI is not installed.
        """
        from unbroken.runs.router import make_router

        return make_router(self, prefix, owner=owner, tags=tags, options=options)

    async def info(self, id: str, *, reader: Owner = None) -> RunInfo:  # noqa: A002 # the field's own name
        """Return how a run stands.

        Args:
            id: The run's.
            reader: Who asks, as in `response`.

        Raises:
            RunNotFound: there is none of that id, or it is another owner's.
            LogUnavailable: the log has to be asked for this id, and cannot be.
        """
        return (await self._here().access.found(id, reader)).info

    async def wait(self, id: str, *, reader: Owner = None) -> RunInfo:  # noqa: A002 # the field's own name
        """Wait until a run has ended, wherever it runs, or until these are closed; return how it stands.

        Args:
            id: The run's.
            reader: Who asks, as in `response`.

        Raises:
            RunNotFound: there is none of that id, or it is another owner's; or the log has lost it meanwhile.
            LogUnavailable: the log has to be asked for this id, and cannot be.
        """
        access = self._here().access
        return await access.wait((await access.found(id, reader)).run)

    async def active(self, *, group: str | None = None, reader: Owner = None) -> list[RunInfo]:
        """Return the runs that are running and that are somebody's own, oldest first.

        Those without an owner are told to no owner: they are protected by their ids alone. With `reader=None` they are
        what is returned; do not hand that to whoever asks.

        Args:
            group: Of this group only.
            reader: Who asks, as in `response`.

        Raises:
            LogUnavailable: the log cannot be asked now.
        """
        works, wanted = self._here(), check_group(group)
        await works.index.refresh()
        running = works.index.running
        return [it.info for it in running if it.belongs_to(reader) and wanted in ("", it.group)]

    # Ending.

    async def cancel(self, id: str, *, by: Owner = None) -> RunInfo:  # noqa: A002 # the field's own name
        """Have a run end with `cancelled`, wherever it runs; of one that has ended nothing is changed.

        It returns when that is on its way. The producer gets one `CancelledError`, and has `cleanup_timeout` seconds;
        what was sent can be read.

        Args:
            id: The run's.
            by: Who asks, as `reader` in `response`.

        Raises:
            RunNotFound: there is none of that id, or it is another owner's.
            LogUnavailable: its process cannot be told now.
        """
        access = self._here().access
        await access.cancel(await access.found(id, by))
        return access.known(id).info

    def _here(self) -> Works:
        if self._works is None or not self._works.desk.engine.is_ours():
            raise not_open()
        return self._works

    def _ttl_of(self, run: str) -> float:
        return self._options.ttl if self._works is None else self._works.index.ttl_of(run)

    async def _close_hub(self) -> None:
        if self._opened_hub:
            await self._hub.close()
