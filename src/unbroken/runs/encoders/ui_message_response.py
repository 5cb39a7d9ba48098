"""A run's response as the AI SDK reads it: there, every event's data is a chunk, whatever the event's type."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar

from unbroken.errors import CloseReason
from unbroken.hub.event import Event
from unbroken.hub.response import HubResponse
from unbroken.runs.events import END
from unbroken.runs.names import RESERVED
from unbroken.stream.options import StreamOptions
from unbroken.wire import ServerSentEvent, encode, encode_control

__all__ = ["UI_MESSAGE_HEADERS", "ui_message_response"]

UI_MESSAGE_HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
"""What tells the AI SDK which protocol it is."""

R = TypeVar("R")


def ui_message_response(response: R) -> R:
    """Return the response of a run, made ready for the AI SDK's `useChat`.

    The run's own events (`run-start`, `run-end`, …) are held back. In place of the last one comes what it means:
    nothing for a run that is `done`, `abort` for one that was `cancelled`, or an `error` whose text is the status:
    `error`, `timeout`, `interrupted` or `lost`. Then `[DONE]`. Of a stream that the server ends before its run has
    ended, an `error` has the reason, and there is no `[DONE]`. For `ai` 5.0.92 and newer.

    Anything but the response of a run is returned as it is: a 404, for one.
    """
    if isinstance(response, HubResponse):
        ending = _Ending(response._reading.passes)
        response._reading = replace(response._reading, filter=ending.passes)
        response.options = _UIMessageOptions(**_values(response.options), ending=ending)
        response.headers.update(UI_MESSAGE_HEADERS)
    return response


class _Ending:
    """How the run of one response ended, once that is known."""

    def __init__(self, passes: Any) -> None:
        self._passes = passes
        self.status: str | None = None

    def passes(self, event: Event) -> bool:
        if not event.event.startswith(RESERVED):
            return bool(self._passes(event))
        if event.event == END:
            self.status = str(event.json()["status"])
        return False

    def chunk(self) -> dict[str, str] | None:
        match self.status:
            case None | "done":
                return None
            case "cancelled":
                return {"type": "abort"}
        return {"type": "error", "errorText": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class _UIMessageOptions(StreamOptions):
    ending: _Ending = field(compare=False)

    def last_words(self, reason: CloseReason) -> bytes:
        if reason is not CloseReason.COMPLETED:
            # Nothing beside it: the SDK refuses a chunk with a key that it does not know.
            return encode_control("stream-end", {"type": "error", "errorText": reason})
        chunk = self.ending.chunk()
        return (encode(ServerSentEvent(chunk)) if chunk else b"") + encode(ServerSentEvent("[DONE]"))


def _values(options: StreamOptions) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in fields(options)}
