"""What the asynchronous and the synchronous client share: their arguments, and what they tell of themselves."""

from __future__ import annotations

import random
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from unbroken.client.http import OutgoingRequest, check_port, without_secrets
from unbroken.client.options import (
    DEFAULT_IDLE_TIMEOUT,
    RETRY_STATUSES,
    End,
    GapPolicy,
    IdleTimeout,
    Options,
    Reconnect,
)
from unbroken.client.session import Session
from unbroken.client.state import ReaderStats, ReadyState, StateChange
from unbroken.client.stores import StoreLike, as_store
from unbroken.client.trouble import Trouble
from unbroken.errors import ConfigurationError
from unbroken.wire.decoder import DEFAULT_MAX_BYTES

__all__ = ["Reader"]

OnState = Callable[[StateChange], Awaitable[None] | None]
Prepare = Callable[[OutgoingRequest], Awaitable[None] | None]


class Reader:
    """Reads one event stream, over as many connections as it takes, and never loses its place.

    See `EventSource` for the arguments.
    """

    _now: Callable[[], float]

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: str | bytes | None = None,
        data: Mapping[str, Any] | None = None,
        json: Any = None,
        auth: Any = None,
        client: Any = None,
        prepare: Prepare | None = None,
        last_event_id: str | None = None,
        store: StoreLike | None = None,
        reconnect: Reconnect | None = None,
        reconnect_delay: float = 1.0,
        max_delay: float = 30.0,
        max_attempts: int | None = None,
        reconnect_timeout: float | None = None,
        retry_statuses: Collection[int] = RETRY_STATUSES,
        connect_timeout: float = 10.0,
        idle_timeout: IdleTimeout = "auto",
        end: End | None = None,
        gaps: GapPolicy = "raise",
        drop_duplicates: bool = True,
        max_line_bytes: int | None = DEFAULT_MAX_BYTES,
        max_event_bytes: int | None = DEFAULT_MAX_BYTES,
        on_state: OnState | None = None,
        record: Callable[[bytes], object] | None = None,
    ) -> None:
        self.url = str(url)
        self._shown_url = without_secrets(self.url)
        check_port(self.url)
        self._options = Options.checked(
            method=method,
            reconnect=reconnect,
            reconnect_delay=reconnect_delay,
            max_delay=max_delay,
            max_attempts=max_attempts,
            reconnect_timeout=reconnect_timeout,
            retry_statuses=retry_statuses,
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            end=end,
            gaps=gaps,
            drop_duplicates=drop_duplicates,
            max_line_bytes=max_line_bytes,
            max_event_bytes=max_event_bytes,
            record=record,
        )
        _check_mappings(params=params, headers=headers, data=data)
        _check_content(content)
        _check_place(last_event_id)
        self._request = OutgoingRequest(
            method, self.url, "", dict(params or {}), dict(headers or {}), content, data, json
        )
        self._begin_at = last_event_id or ""
        self._auth = auth
        self._client = client
        self._prepare = prepare
        self._store = as_store(store)
        self._saved: str | None = None
        self._on_state = on_state
        self._trouble = Trouble()
        self._session: Session | None = None
        self._closing = threading.Event()
        """Set by `close`, of any thread."""
        self.status: int | None = None
        """The status code of the last answer, None before there was one."""
        self.headers: Mapping[str, str] = {}
        """The headers of the last answer; their names in lower case."""

    @property
    def ready_state(self) -> ReadyState:
        """Whether it is connected: `connecting`, `open` or `closed`."""
        return ReadyState.CONNECTING if self._session is None else self._session.state

    @property
    def last_event_id(self) -> str:
        """The place behind the last event that was given to the program; `""` if the server told none."""
        return self._begin_at if self._session is None else self._session.handled_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in milliseconds that the server told, None if it told none."""
        return None if self._session is None else self._session.retry

    @property
    def stats(self) -> ReaderStats:
        """What was read up to now: a copy."""
        return ReaderStats() if self._session is None else replace(self._session.stats)

    def _begin(self, restored: object) -> Session:
        if restored is not None and not isinstance(restored, str):
            raise ConfigurationError(f"store gave {restored!r}: load() returns a last event ID, or None")
        self._saved = restored
        self._session = Session(
            self._shown_url, self._options, self._begin_at if restored is None else restored, self._now, random.random
        )
        return self._session

    def _refuse_second_entry(self) -> None:
        if self._session is not None:
            raise ConfigurationError(f"this {type(self).__name__} was entered before: make a new one for each reading")

    @property
    def _entered(self) -> Session:
        if self._session is None:
            raise ConfigurationError(f"{type(self).__name__} is read inside its `with` (or `async with`)")
        return self._session

    def _outgoing(self, session: Session) -> OutgoingRequest:
        request = self._request
        session.connecting()
        return replace(
            request,
            params=dict(request.params),
            headers=dict(request.headers),
            last_event_id=session.last_event_id,
            attempt=session.attempts,
        )

    @property
    def _answer_timeout(self) -> float | None:
        idle = self._options.idle_timeout
        return DEFAULT_IDLE_TIMEOUT if idle == "auto" else idle

    @staticmethod
    def _raise_error(session: Session) -> None:
        error = session.take_error()
        if error is not None:
            raise error

    def _unsaved(self, session: Session) -> str | None:
        """Return the place that the store does not know yet, None if it does."""
        place = session.handled_id
        return None if self._store is None or place == (self._saved or "") else place


def _check_mappings(**given: object) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, Mapping):
            raise ConfigurationError(f"{name} is a {type(value).__name__}: give a mapping, or None")


def _check_content(content: object) -> None:
    if content is not None and not isinstance(content, str | bytes):
        raise ConfigurationError(
            f"content is a {type(content).__name__}, which cannot be sent twice: give a str or bytes, or set it anew "
            "in prepare"
        )


def _check_place(last_event_id: object) -> None:
    if last_event_id is None:
        return
    if not isinstance(last_event_id, str) or any(odd in last_event_id for odd in "\r\n\0"):
        raise ConfigurationError(f"last_event_id={last_event_id!r} is none: give a str of one line, without NUL")
