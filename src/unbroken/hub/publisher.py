"""`Publisher`: the half of a hub that publishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp

from unbroken.errors import ConfigurationError
from unbroken.hub.bridge import PublishApp, TokensGiven
from unbroken.hub.event import encode_payload
from unbroken.hub.home import Home
from unbroken.hub.names import check_topic
from unbroken.hub.outbox import Waiting
from unbroken.hub.patience import check_wait, patiently
from unbroken.hub.publishing import check_key, is_on_loop, wait_for
from unbroken.logs import Appended, Position

__all__ = ["Publisher"]


class Publisher:
    """Appends events to the topics of one hub."""

    def __init__(self, home: Home, max_event_bytes: int) -> None:
        self._home = home
        self._max_event_bytes = max_event_bytes

    async def publish(
        self,
        topic: str,
        data: object,
        *,
        event: str | None = None,
        key: str | None = None,
        close: bool = False,
        wait: float = 0.0,
        within: Any = None,
    ) -> Position:
        """Append an event to a topic; it is as durable as the log says when this returns.

        Args:
            topic: 1 to 256 characters, none of them a control character, not beginning with `$`.
            data: A str goes as it is, anything else as JSON; or a `ServerSentEvent` without an id.
            event: The event type.
            key: What makes it idempotent: a second publish with a key that was used in this topic does nothing, and
                returns the position of the first. Remembered for `Retention.key_age` at least. Up to 512 characters.
            close: This is the topic's last event: its streams end, and their clients are told to stop.
            wait: Seconds to go on trying while the log is out of reach. It is published once all the same: where no
                `key` is given, one is made. At most nine tenths of the topic's `Retention.key_age`.
            within: A connection or session to the log's own database, in a transaction: the event exists if that is
                committed, and only then; until then the position is not to be handed on. For logs that can do so.

        Returns:
            The event's position; its `str` is the id on the wire.

        Raises:
            EncodeError: the data has no form on the wire, or is larger than `max_event_bytes`.
            ConfigurationError: `topic` or `key` is none, or another argument is none of its values.
            TopicClosed: the topic has had its last event.
            LogUnavailable: it cannot be said that it was published. With a key it is safe to try again.
        """
        payload = self._checked(topic, data, event, key)
        if within is not None:
            _refuse_both(wait)
            return await self._home.append_within(within, topic, payload, key, close)
        return (await self._append(topic, payload, key, close, wait)).position

    def publish_sync(
        self,
        topic: str,
        data: object,
        *,
        event: str | None = None,
        key: str | None = None,
        close: bool = False,
        timeout: float = 10.0,
        within: Any = None,
    ) -> Position:
        """Publish from another thread, or from code without an event loop, and wait until it is done.

        Where the hub is open on a loop it is done there; else on one of the hub's own, in a thread that is kept.

        Args:
            topic: As in `publish`.
            data: As there.
            event: As there.
            key: As there.
            close: As there.
            timeout: Seconds to wait.
            within: As there, but a synchronous connection or session; it is used here, in this thread.

        Raises:
            ConfigurationError: called on an event loop, which would wait for itself: there, await `publish`.
            LogUnavailable: not done within `timeout`; it may be done yet.
        """
        if is_on_loop():
            # Within a transaction, too: it waits for whoever holds the topic, who may be a task of this loop.
            raise ConfigurationError("publish_sync() would block this event loop: await publish() instead")
        if within is not None:
            return self._home.append_within_sync(within, topic, self._checked(topic, data, event, key), key, close)
        publishing = self.publish(topic, data, event=event, key=key, close=close)
        return wait_for(publishing, self._home.loop_for_threads(), timeout)

    def publish_soon(self, topic: str, data: object, *, event: str | None = None, key: str | None = None) -> None:
        """Hand an event over to be published in the background, also while the log is out of reach.

        Events of a topic are published in the order in which they were handed over, once each. They wait in this
        process's memory, bounded by the hub's `outbox`: what the process has not published when it is killed is gone.
        What is given up is logged, counted in `stats().unpublished`, and told to `Outbox.on_unpublished`. To be called
        on the hub's loop, while it is open.

        Args:
            topic: As in `publish`.
            data: As there.
            event: As there.
            key: As there.

        Raises:
            OutboxFull: too much waits already. Nothing was taken; `await flush()`, or do without the event.
            EncodeError: as in `publish`.
            ConfigurationError: as there; or the hub is not open on this event loop.
        """
        payload = self._checked(topic, data, event, key)
        self._home.here().outbox.put(Waiting(topic, payload, key, data, event))

    async def flush(self, timeout: float = 10.0) -> None:
        """Wait until nothing that was handed over to `publish_soon` waits any more.

        Args:
            timeout: Seconds.

        Raises:
            LogUnavailable: something waits still; it goes on.
        """
        await self._home.here().outbox.flush(timeout)

    def publish_app(
        self,
        *,
        tokens: TokensGiven,
        topics: str | Sequence[str] = "*",
        rate: float | None = 100.0,
        burst: int = 200,
        body_timeout: float = 10.0,
    ) -> ASGIApp:
        """Return an application at which others publish by HTTP; there is none unless it is mounted.

            app.mount("/publish", hub.publish_app(tokens=os.environ["PUBLISH_TOKENS"].split()))

        `POST /{topic}` with `Authorization: Bearer <token>` publishes the body, UTF-8, as it is. The query may have
        `event=` and `close=true`, the header `Idempotency-Key` is the key. 201, or 200 for a key that was used, with
        `{"id", "duplicate"}`; anything else is a problem as RFC 9457 has it. Nothing of it is for browsers.

        Args:
            tokens: A token, several (so that one can be replaced while both work), or a mapping from tokens to the
                patterns of topics that each may publish to: `{token: ["orders:*", "news"]}`. 16 characters or more.
            topics: The patterns of those that have none of their own.
            rate: Requests a second of each token, in this process, in the long run; more get 429. None is no bound.
            burst: How many at once, after a silence.
            body_timeout: Seconds for a body to arrive; then 408.

        Raises:
            ConfigurationError: there is no token, one that can be guessed, or another argument is none of its values.
        """
        return PublishApp(
            self._append,
            tokens=tokens,
            topics=topics,
            max_event_bytes=self._max_event_bytes,
            rate=rate,
            burst=burst,
            body_timeout=body_timeout,
        )

    async def _append(self, topic: str, payload: bytes, key: str | None, close: bool, wait: float = 0.0) -> Appended:
        if check_wait(wait, self._home.retention_of(topic)):
            return await patiently(self._home, topic, payload, key, close, wait)
        engine = await self._home.open()
        return await engine.publish(topic, payload, key=key, close=close)

    def _checked(self, topic: str, data: object, event: str | None, key: str | None) -> bytes:
        payload = encode_payload(data, event, self._max_event_bytes)
        check_topic(topic)
        check_key(key)
        return payload


def _refuse_both(wait: float) -> None:
    if wait:
        raise ConfigurationError(f"wait={wait} within a transaction would hold it open: give one of wait= and within=")
