"""Events with sse-starlette's bytes: its order of fields, its line ends, `str()` for whatever is not text."""

from __future__ import annotations

import json
import re
from typing import Any

import unbroken.wire
from unbroken.errors import EncodeError

__all__ = ["LINE_ENDS", "JSONServerSentEvent", "ServerSentEvent", "ensure_bytes"]

LINE_ENDS = ("\r\n", "\r", "\n")

_LINE_END = re.compile(r"\r\n|\r|\n")


class ServerSentEvent:
    """One event, with a line end of its own.

    It is checked when it is encoded. `data` and `comment` go through `str()`,
    line by line; CR and LF in `id` and `event` are dropped.

    Args:
        data: None sends no data field.
        event: The event type.
        id: What a client sends back as `Last-Event-ID`.
        retry: The client's reconnection time in milliseconds.
        comment: Text that clients ignore.
        sep: The line end: CRLF by default, CR or LF.

    Raises:
        EncodeError: `sep` is none of them.
    """

    DEFAULT_SEPARATOR = "\r\n"

    def __init__(
        self,
        data: Any | None = None,
        *,
        event: str | None = None,
        id: str | None = None,  # noqa: A002 - the wire's name for it
        retry: int | None = None,
        comment: str | None = None,
        sep: str | None = None,
    ) -> None:
        if sep is not None and sep not in LINE_ENDS:
            raise EncodeError(f"sep={sep!r} ends no line of an event stream: give '\\r\\n', '\\r' or '\\n'")
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry
        self.comment = comment
        self._sep = self.DEFAULT_SEPARATOR if sep is None else sep

    def encode(self) -> bytes:
        """Return the event's bytes.

        Raises:
            EncodeError: NUL in `id` or `event`; `retry` is negative or a bool.
            TypeError: `id` or `event` is not a `str`, or `retry` not an `int`.
        """
        event_id, event = _joined(self.id), _joined(self.event)
        if self.retry is not None and not isinstance(self.retry, int):
            raise TypeError(f"retry={self.retry!r} is of type {type(self.retry).__name__}, not an int of milliseconds")
        unbroken.wire.ServerSentEvent("", event=event, id=event_id, retry=self.retry)  # raises what is refused
        lines = [
            *_lines("", self.comment),
            *_lines("id", event_id),
            *_lines("event", event),
            *_lines("data", self.data),
            *_lines("retry", self.retry),
        ]
        return self._sep.join([*lines, "", ""]).encode()


class JSONServerSentEvent(ServerSentEvent):
    """A `ServerSentEvent` whose data goes as compact JSON; None still sends no data field.

    Raises:
        TypeError: `data` has a type without a JSON form.
        ValueError: `data` holds NaN, an infinity or itself.
    """

    def __init__(self, data: Any | None = None, *args: Any, **kwargs: Any) -> None:
        text = None if data is None else json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        super().__init__(text, *args, **kwargs)


def ensure_bytes(data: Any, sep: str) -> bytes:
    """Return what a generator yielded as bytes of the event stream.

    Bytes stay as they are, events are encoded, a dict names the fields of an
    event, and anything else is data, through `str()`.

    Raises:
        EncodeError: as `ServerSentEvent` and its `encode` do; or it is another library's `ServerSentEvent`.
        TypeError: a dict has a key that is no field.
    """
    if isinstance(data, bytes | memoryview):
        return bytes(data)
    if isinstance(data, ServerSentEvent):
        return data.encode()
    if isinstance(data, dict):
        return ServerSentEvent(**{**data, "sep": sep}).encode()
    if isinstance(data, unbroken.wire.ServerSentEvent):
        return unbroken.wire.encode(data)
    kind = type(data)
    if kind.__name__ in {"ServerSentEvent", "JSONServerSentEvent"}:
        # Its str() would go out as the data of an event.
        raise EncodeError(f"{kind.__module__}.{kind.__name__} is another library's: change its import as well")
    return ServerSentEvent(str(data), sep=sep).encode()


def _joined(text: str | None) -> str | None:
    return None if text is None else _LINE_END.sub("", text)


def _lines(field: str, value: object) -> list[str]:
    return [] if value is None else [f"{field}: {line}" for line in _LINE_END.split(str(value))]
