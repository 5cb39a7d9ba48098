"""`Hub`: topics that remember, for one application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from hashlib import blake2s
from types import TracebackType
from typing import Any, Literal, overload

from starlette.background import BackgroundTask
from starlette.requests import Request

from unbroken.errors import ConfigurationError
from unbroken.hub.access import Authorize, check_user
from unbroken.hub.beginning import beginning
from unbroken.hub.cluster import ClusterStats, check_question
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.home import Home
from unbroken.hub.names import check_topic, check_topics
from unbroken.hub.numbering import Numbering
from unbroken.hub.outbox import Outbox
from unbroken.hub.publisher import Publisher
from unbroken.hub.reading import OnGap, Overflow, Reading
from unbroken.hub.response import HubResponse
from unbroken.hub.retention import Retentions
from unbroken.hub.stats import HubStats, stats_of
from unbroken.hub.subscription import Subscription
from unbroken.logs import Log, Position, Retention
from unbroken.stream.limits import Limits
from unbroken.stream.registration import OnClose
from unbroken.stream.revalidation import Revalidate

__all__ = ["Hub"]

MAX_EVENT_BYTES = 1024 * 1024
DEFAULT_READING = Reading()


class Hub(Publisher):
    """Topics with history: publish to them from anywhere, stream them to whoever may read.

        hub = Hub("sqlite:///events.db")
        app = FastAPI(lifespan=hub.lifespan)

        @app.get("/orders/{id}/events")
        async def events(request: Request, id: int):
            return hub.response(request, f"orders:{id}", authorize=may_read)

        await hub.publish("orders:42", {"state": "paid"}, event="order")

    A client that comes back with the last id it saw gets what it missed, once and in order; what is no longer
    there it is told of. A hub belongs to one event loop while it is open; make one for an application.

    Args:
        url: Where topics are kept: `memory://`, `sqlite:///events.db`, `redis://…`, `postgresql://…` or `nats://…`.
            Or a `Log`.
        authorize: Called with the request and each topic; True or a `Grant` lets it be read. May be a coroutine
            function. A response may have another one, or say `public=True`; without any of these it is refused.
        retention: How much is kept, for all topics or by pattern: `{"chat:*": Retention(max_events=500)}`. The first
            pattern that matches holds.
        max_event_bytes: The most bytes of one event.
        secret: Signs the cursors over several topics. The same in all processes that serve one site.
        outbox: How much `publish_soon` keeps in memory; None for `Outbox()`.

    Raises:
        ConfigurationError: an argument is none of its values.
    """

    def __init__(
        self,
        url: str | Log,
        *,
        authorize: Authorize | None = None,
        retention: Retention | Mapping[str, Retention] | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        secret: str | bytes = b"",
        outbox: Outbox | None = None,
    ) -> None:
        self._authorize = authorize
        self._cursor_key = _key(secret)
        self._counters = Counters()
        super().__init__(Home(url, self._counters, Retentions(retention), outbox or Outbox()), max_event_bytes)
        # Routes ask for the same few sets of topics over and over, or each client for its own.
        self._remembered = lru_cache(maxsize=1024)(self._make_numbering)

    # Open and closed.

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Keep the hub open for an application's life: `FastAPI(lifespan=hub.lifespan)`."""
        async with self:
            yield

    async def __aenter__(self) -> Hub:
        """Open the hub on this event loop."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the hub."""
        await self.close()

    async def open(self) -> None:
        """Open the hub on the running event loop, unless it is open there; done by whatever needs it.

        Raises:
            ConfigurationError: it is open on another loop, which still runs.
            LogUnavailable: its log cannot be opened.
        """
        await self._home.open()

    async def close(self) -> None:
        """End the streams that are open, finish what was begun, and close the log. It can be opened again."""
        await self._home.close()

    # Reading.

    def response(
        self,
        request: Request,
        *topics: str,
        public: bool = False,
        authorize: Authorize | None = None,
        user: str | int | None = None,
        after: Position | str | None = None,
        backlog: int = 0,
        on_gap: OnGap = "continue",
        overflow: Overflow = "resume",
        max_lag: int = 1000,
        conflate_by: Callable[[Event], Hashable] | None = None,
        filter: Callable[[Event], bool] | None = None,  # noqa: A002 - the field's own word
        detach: bool = True,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        heartbeat: float | None = 15.0,
        heartbeat_event: str | None = None,
        send_timeout: float | None = 60.0,
        max_age: float | None = None,
        max_age_jitter: float = 0.1,
        retry: int | None = None,
        cleanup_timeout: float = 10.0,
        dead_peer_timeout: float | None = 90.0,
        drain_grace: float | None = 2.5,
        drain_retry: tuple[int, int] = (1000, 6000),
        limits: Limits | None = None,
        revalidate: Revalidate | None = None,
        revalidate_interval: float = 60.0,
        on_close: OnClose | None = None,
    ) -> HubResponse:
        """Return the response for a route: these topics, from where the client was.

        The client's cursor is its `Last-Event-ID` header, or else the query's `last_event_id`. Who may not read gets
        403; who brings a query that is no cursor, 400; who has all of topics that are closed, 204.

        Args:
            request: The request; what `authorize` is asked about.
            topics: 1 to 32.
            public: Anybody may read; neither `authorize` is asked.
            authorize: Asked for each topic before anything is read, in place of the hub's.
            user: Who it is, for `revoke(user=…)`, where no `Grant` says it.
            after: Where a client begins that brings no cursor: `"latest"` (as None), `"earliest"`, or a position.
            backlog: For such a client, the newest so many events of each topic first.
            on_gap: After a gap, go on with what there is (`"continue"`), with what comes next (`"latest"`), or end
                the stream (`"close"`); or, where the log has lost what the client saw last, tell all again that there
                is (`"earliest"`). The gap is told in each case.
            overflow: What becomes of a client that is too slow: it gets everything, in its own time, from the log
                (`"resume"`); the newest `max_lag` events, and is told of the others (`"drop_oldest"`); the last
                event of each key (`"conflate"`); or its stream ends, with `limit` (`"close"`).
            max_lag: Events that a client may be behind; for all but `"resume"`.
            conflate_by: Returns an event's key for `"conflate"`; the topic and the event type by default.
            filter: Returns whether this client gets an event. It costs each event a call for each client.
            detach: On a server with the direct extension, end the request's task once the client is live.
            status_code: As in `EventSourceResponse`, and so are all others.
            headers: See there.
            background: See there; such a response is never detached.
            heartbeat: See there.
            heartbeat_event: See there.
            send_timeout: See there.
            max_age: See there.
            max_age_jitter: See there.
            retry: See there.
            cleanup_timeout: See there; for the last words of a stream that ends.
            dead_peer_timeout: See there.
            drain_grace: See there.
            drain_retry: See there.
            limits: See there.
            revalidate: See there.
            revalidate_interval: See there.
            on_close: See there.

        Raises:
            ConfigurationError: nothing says who may read, or an argument is none of its values.
        """
        check_user(user)
        asked = None if public else authorize or self._authorize
        if asked is None and not public:
            raise ConfigurationError(
                f"nothing says who may read {', '.join(map(repr, topics))}: give authorize=…, here or to the Hub, or "
                "public=True"
            )
        reading = Reading(
            on_gap=on_gap, overflow=overflow, max_lag=max_lag, conflate_by=conflate_by, filter=filter, backlog=backlog
        )
        reading = DEFAULT_READING if reading == DEFAULT_READING else reading  # shared: thousands may be open
        return HubResponse(
            self._home,
            request,
            self._numbering(*topics),
            reading,
            beginning(after, backlog, self._cursor_key),
            asked,
            detach=detach,
            user=user,
            status_code=status_code,
            headers=headers,
            background=background,
            heartbeat=heartbeat,
            heartbeat_event=heartbeat_event,
            send_timeout=send_timeout,
            max_age=max_age,
            max_age_jitter=max_age_jitter,
            retry=retry,
            cleanup_timeout=cleanup_timeout,
            dead_peer_timeout=dead_peer_timeout,
            drain_grace=drain_grace,
            drain_retry=drain_retry,
            limits=limits,
            revalidate=revalidate,
            revalidate_interval=revalidate_interval,
            on_close=on_close,
        )

    def subscribe(
        self,
        *topics: str,
        after: Position | str | None = None,
        backlog: int = 0,
        on_gap: Literal["raise", "continue", "latest"] = "raise",
        filter: Callable[[Event], bool] | None = None,  # noqa: A002 - as above
    ) -> Subscription:
        """Return topics for code, as an asynchronous iterator. It asks nobody's leave.

        Args:
            topics: 1 to 32.
            after: Where to begin: `"latest"` (as None), `"earliest"`, a position, or an event's id.
            backlog: Without a position, the newest so many events of each topic first.
            on_gap: At a gap raise `StreamGap`; or go on with what there is, or with what comes next, and count it.
            filter: Returns whether an event is wanted.

        Raises:
            ConfigurationError: an argument is none of its values.
        """
        if on_gap not in ("raise", "continue", "latest"):
            raise ConfigurationError(f"on_gap={on_gap!r} is not known: give 'raise', 'continue' or 'latest'")
        reading = Reading(backlog=backlog, filter=filter)
        return Subscription(
            self._home.open,
            self._numbering(*topics),
            beginning(after, backlog, self._cursor_key),
            raises=on_gap == "raise",
            latest=on_gap == "latest",
            passes=reading.passes,
        )

    async def position(self, *topics: str) -> str:
        """Return where topics stand now, for `after=`, or for a page: what happens after this is not missed.

            cursor = await hub.position("orders:42")
            …  # new EventSource(`/events?last_event_id=${cursor}`)

        Take it before the state that the page shows: what happens in between then comes twice, and not never.

        Raises:
            ConfigurationError: one of the topics is none.
            LogUnavailable: the log cannot be read now.
        """
        numbering = self._numbering(*topics)
        engine = await self._home.open()
        reader = await engine.open_reader(numbering, "continue")
        try:
            heads = [(await engine.log.head(name)).position for name in numbering.names]
            return numbering.id_of(tuple(heads))
        finally:
            engine.topics.release(reader.topics)

    async def trim(self, topic: str, retention: Retention | None = None) -> int:
        """Drop a topic's oldest events now, by a retention or by the topic's own, which is kept to anyway.

        Other processes may have the newest 500 at hand for half a minute more, while they have readers.

        Returns:
            How many events went. Readers that had not seen them are told of a gap.

        Raises:
            ConfigurationError: `topic` is none.
            LogUnavailable: it cannot be done now.
        """
        return await (await self._home.open()).trim(check_topic(topic), retention)

    async def revoke(self, *, user: str | int | None = None, topic: str | None = None) -> int:
        """End streams now, in every process: those of a user, of a topic, or of a user on a topic.

        Their clients come back, and are asked for their leave again.

        Returns:
            How many streams of this process were ended.

        Raises:
            ConfigurationError: neither is given.
            LogUnavailable: other processes may not have heard of it; here it is done.
        """
        check_user(user)
        if user is None and topic is None:
            raise ConfigurationError("revoke() of neither a user nor a topic would end everything: give one of them")
        return await (await self._home.open()).revocations.revoke(user, topic)

    @overload
    def stats(self) -> HubStats: ...

    @overload
    def stats(
        self, *topics: str, cluster: Literal[True], timeout: float = 1.0, processes: int | None = None
    ) -> Coroutine[Any, Any, ClusterStats]: ...

    def stats(
        self, *topics: str, cluster: bool = False, timeout: float = 1.0, processes: int | None = None
    ) -> HubStats | Coroutine[Any, Any, ClusterStats]:
        """Return what this hub has done in this process; or, to be awaited, in all processes that share its log.

            hub.stats().subscribers
            (await hub.stats("room:1", cluster=True)).topics["room:1"]

        To be called on the hub's loop. The processes are asked by a topic of the hub's own, and answer by it.

        Args:
            topics: Of which topics each process says how many read them; of those that are read most, if none is given.
            cluster: Ask all processes.
            timeout: Seconds in which they may answer. Nobody knows how many there are: so it takes that long.
            processes: It does not, if it is known.

        Raises:
            ConfigurationError: a topic is none; topics are given without `cluster`; or another argument is none of its
                values.
            LogUnavailable: they cannot be asked now.
        """
        if cluster:
            check_question(timeout, processes)
            return self._ask_all(tuple(map(check_topic, topics)), timeout, processes)
        if topics:
            raise ConfigurationError("stats() of topics are those of all processes: say cluster=True, and await it")
        return stats_of(self._counters, self._home.engine)

    async def _ask_all(self, topics: Sequence[str], timeout: float, processes: int | None) -> ClusterStats:
        return await (await self._home.open()).cluster.ask(topics, timeout, processes)

    def _numbering(self, *topics: str) -> Numbering:
        try:
            return self._remembered(*topics)
        except TypeError:
            return self._make_numbering(*topics)  # what cannot be hashed is no topic: let it be named

    def _make_numbering(self, *topics: str) -> Numbering:
        return Numbering(check_topics(topics), self._cursor_key)


def _key(secret: str | bytes) -> bytes:
    given = secret.encode() if isinstance(secret, str) else secret
    return blake2s(given, digest_size=32).digest() if given else b""
