"""A session without chance and with a clock of the test's own."""

from __future__ import annotations

from typing import Any

from unbroken.client.answer import Answer
from unbroken.client.options import RETRY_STATUSES, Options
from unbroken.client.session import Session
from unbroken.client.steps import Wait
from unbroken.wire import DecodedEvent

URL = "http://example.com/feed"
STREAM = Answer(200, {"content-type": "text/event-stream"})

DEFAULTS: dict[str, Any] = {
    "method": "GET",
    "reconnect": None,
    "reconnect_delay": 1.0,
    "max_delay": 30.0,
    "max_attempts": None,
    "reconnect_timeout": None,
    "retry_statuses": RETRY_STATUSES,
    "connect_timeout": 10.0,
    "idle_timeout": "auto",
    "end": None,
    "gaps": "raise",
    "drop_duplicates": True,
    "max_line_bytes": 1000,
    "max_event_bytes": 1000,
    "record": None,
}


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_session(
    *, last_event_id: str = "", clock: Clock | None = None, chance: float = 1.0, opened: bool = True, **options: Any
) -> Session:
    """Return a session, with its first connection open unless told otherwise."""
    checked = Options.checked(**(DEFAULTS | options))
    session = Session(URL, checked, last_event_id, clock or Clock(), lambda: chance)
    if opened:
        connect(session)
    return session


def connect(session: Session, answer: Answer = STREAM) -> None:
    """Do what leads to an open stream."""
    if isinstance(session.step, Wait):
        session.waited()
    session.connecting()
    session.opened(answer)


def taken(session: Session) -> list[DecodedEvent]:
    """Take all that is ready."""
    return [session.take() for _ in range(len(session.ready))]


def data_of(session: Session) -> list[str]:
    """Take all that is ready, and return the data."""
    return [event.data for event in taken(session)]
