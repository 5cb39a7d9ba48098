"""An event to be sent, as a value that is checked when it is built."""

from __future__ import annotations

import reprlib
from dataclasses import KW_ONLY, dataclass

from unbroken.errors import EncodeError

__all__ = ["BYTES_TYPES", "MAX_RETRY", "ServerSentEvent", "plain_text"]

BYTES_TYPES = (bytes, bytearray, memoryview)

MAX_RETRY = 2**53 - 1
"""The largest `retry` in milliseconds: the last integer that a JavaScript client holds exactly."""

_FORBIDDEN = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of an event stream, with the fields of the wire; None leaves a field out.

    The fields are checked when the event is built, so an error points at the
    line that made it; how `data` turns into JSON is only known when it is encoded.

        ServerSentEvent({"progress": 40}, event="progress", id="7")

    Attributes:
        data: A `str` goes as it is, line by line; anything else goes as JSON.
            None sends no data field, and a client dispatches no event without
            one: for an event that only has a type, say `data=""`.
        event: The event type; clients take it as `message` where there is none.
        id: What a client sends back as `Last-Event-ID`; `""` makes it forget the last one.
        retry: The client's reconnection time in milliseconds, 0 to 2**53 - 1.
        comment: Text that clients ignore; each of its lines becomes a comment.

    Raises:
        EncodeError: CR, LF or NUL in `event` or `id`, a field of a wrong type,
            `retry` out of its range, `bytes` as `data`, or no field at all.
    """

    data: object = None
    _: KW_ONLY
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        # Checked values are kept as exact str and int: a subclass could format itself as something else later.
        if self.event is not None:
            object.__setattr__(self, "event", _one_line("event", self.event))
        if self.id is not None:
            object.__setattr__(self, "id", _one_line("id", self.id))
        if self.retry is not None:
            object.__setattr__(self, "retry", _milliseconds(self.retry))
        if self.comment is not None:
            object.__setattr__(self, "comment", plain_text("comment", self.comment))
        if self.data is None:
            self._refuse_emptiness()
        elif isinstance(self.data, BYTES_TYPES):
            raise EncodeError(
                f"data={reprlib.repr(self.data)} is bytes, which may be text or a frame that is encoded already; "
                "pass data.decode() for text, or yield the bytes themselves to send them as a frame"
            )

    def _refuse_emptiness(self) -> None:
        if self.event is None and self.id is None and self.retry is None and self.comment is None:
            raise EncodeError(
                "an event without any field does nothing at the client; "
                "pass data='' for an event with empty data, or comment=... for a sign of life"
            )


def _one_line(field: str, value: object) -> str:
    """Return `value` as an exact `str` that cannot end its line, or raise `EncodeError`."""
    text = plain_text(field, value)
    if "\n" in text or "\r" in text or "\0" in text:
        found = next(name for character, name in _FORBIDDEN.items() if character in text)
        raise EncodeError(
            f"{field}={reprlib.repr(text)} holds {found}; an event's {field} is one line without CR, LF and NUL: "
            "remove it, or quote the value (urllib.parse.quote)"
        )
    return text


def plain_text(field: str, value: object) -> str:
    """Return `value` as an exact `str`, or raise `EncodeError`."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    remedy = f"{field}.decode()" if isinstance(value, BYTES_TYPES) else f"str({field})"
    raise EncodeError(
        f"{field}={reprlib.repr(value)} is of type {type(value).__name__}, and an event's {field} is a str: "
        f"pass {remedy}"
    )


def _milliseconds(retry: object) -> int:
    if isinstance(retry, bool) or not isinstance(retry, int):
        raise EncodeError(
            f"retry={reprlib.repr(retry)} is of type {type(retry).__name__}, and retry is an int of milliseconds: "
            "pass retry=round(seconds * 1000)"
        )
    if not 0 <= retry <= MAX_RETRY:
        # Python refuses to write an int of thousands of digits.
        shown = retry if retry.bit_length() < 100 else f"an int of {retry.bit_length()} bits"
        raise EncodeError(
            f"retry={shown} is outside 0 to {MAX_RETRY} milliseconds; pass one inside, or None to leave it out"
        )
    return int(retry)
