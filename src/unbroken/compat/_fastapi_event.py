"""The event of `fastapi.sse`, for versions of FastAPI that have no such module (before 0.135)."""

from __future__ import annotations

from dataclasses import dataclass

import unbroken.wire
from unbroken.errors import EncodeError

__all__ = ["ServerSentEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSentEvent:
    """One event, with the fields of FastAPI's; no pydantic model, but it checks as strictly.

    Attributes:
        data: Sent as JSON, text in quotes too. None sends no data field.
        raw_data: Text that is sent as it is, line by line, instead of `data`.
        event: The event type.
        id: What a client sends back as `Last-Event-ID`.
        retry: The client's reconnection time in milliseconds.
        comment: Text that clients ignore.

    Raises:
        EncodeError: `data` and `raw_data` are both given, or a field cannot be
            written: CR, LF or NUL in `event` or `id`, `retry` negative or no int.
    """

    data: object = None
    raw_data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.raw_data is not None:
            raise EncodeError("data and raw_data are both given: data goes as JSON, raw_data as it is; choose one")
        unbroken.wire.ServerSentEvent("", event=self.event, id=self.id, retry=self.retry, comment=self.comment)
