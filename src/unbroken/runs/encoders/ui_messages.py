"""The AI SDK's UI message stream, version 1: what a run's parts are called there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from unbroken.wire import ServerSentEvent

__all__ = ["Chunk", "ui_messages"]

Chunk = dict[str, Any]
"""One chunk of the protocol: a JSON object with a `type`."""

FINISH_REASONS = {"stop", "length", "content-filter", "tool-calls", "error"}
"""The ones that the protocol knows; it calls all others `other`."""


async def ui_messages(
    parts: AsyncGenerator[Any, None], *, message_id: str | None = None
) -> AsyncGenerator[Chunk, None]:
    """Yield the parts of an answer as chunks of the AI SDK's UI message stream, for a run to send.

        run = await runs.start(ui_messages, from_openai(lambda: client.chat.completions.create(…)))
        return ui_message_response(run.response(request))

    What the run keeps is in the protocol already, so that it can be replayed or resumed like any other. `text`,
    `reasoning`, `tool-call`, `tool-result` and `finish` get their names there, a `str` is text, a `dict` with a `type`
    goes as it is, and any other event, `progress` for one, becomes a `data-progress`.

    Args:
        parts: An adapter's generator, or one of your own. It is closed with this one.
        message_id: The message's id in the page; the page makes one up by default.
    """
    encoder = _Encoder()
    async with aclosing(parts):
        yield {"type": "start"} if message_id is None else {"type": "start", "messageId": message_id}
        async for part in parts:
            for chunk in encoder.chunks(part):
                yield chunk
    for chunk in encoder.end():
        yield chunk


class _Encoder:
    """The protocol has texts within steps: a step is an answer of the model, with the tools that it called."""

    def __init__(self) -> None:
        self._in_step = False
        self._open: tuple[Literal["text", "reasoning"], str] | None = None
        self._texts = 0
        self._reason: str | None = None
        self._usage: dict[str, int] = {}
        self._calls: set[str] = set()

    def chunks(self, part: Any) -> list[Chunk]:
        event, data = _event_and_data(part)
        match event:
            case "text" | "reasoning":
                return [*self._begin_step(), *self._begin_text(event), self._delta(data)]
            case "tool-call":
                self._calls.add(data["id"])
                return [*self._begin_step(), *self._end_text(), _tool_call(data)]
            case "tool-result":
                return [*self._begin_call(data), _tool_result(data)]
            case "finish":
                self._note(data)
                return self._end_step()
            case None:
                return [data]
        return [{"type": f"data-{event}", "data": data}]

    def end(self) -> list[Chunk]:
        finish: Chunk = {"type": "finish"}
        if self._reason is not None:
            finish["finishReason"] = self._reason if self._reason in FINISH_REASONS else "other"
        if self._usage:
            finish["messageMetadata"] = {"usage": self._usage}
        return [*self._end_step(), finish]

    def _note(self, finish: Any) -> None:
        self._reason = finish["reason"]
        for name, tokens in finish.get("usage", {}).items():
            self._usage[name] = self._usage.get(name, 0) + tokens

    def _begin_call(self, result: Any) -> list[Chunk]:
        """Announce a tool that no model called, but a chain: the SDK refuses a result of what it knows nothing of."""
        if result["id"] in self._calls:
            return []
        self._calls.add(result["id"])
        return [_tool_call({**result, "input": None, "error": None})]

    def _begin_step(self) -> list[Chunk]:
        if self._in_step:
            return []
        self._in_step = True
        return [{"type": "start-step"}]

    def _end_step(self) -> list[Chunk]:
        if not self._in_step:
            return []
        ended = [*self._end_text(), {"type": "finish-step"}]
        self._in_step = False
        return ended

    def _begin_text(self, kind: Literal["text", "reasoning"]) -> list[Chunk]:
        if self._open is not None and self._open[0] == kind:
            return []
        ended = self._end_text()
        self._texts += 1
        self._open = kind, f"{kind}-{self._texts}"
        return [*ended, {"type": f"{kind}-start", "id": self._open[1]}]

    def _delta(self, text: str) -> Chunk:
        assert self._open is not None
        kind, id = self._open  # noqa: A001 - the field's own name
        return {"type": f"{kind}-delta", "id": id, "delta": text}

    def _end_text(self) -> list[Chunk]:
        if self._open is None:
            return []
        (kind, id), self._open = self._open, None  # noqa: A001 - as above
        return [{"type": f"{kind}-end", "id": id}]


def _event_and_data(part: Any) -> tuple[str | None, Any]:
    """Return a part's event type and data; None as the type of what is a chunk already."""
    if isinstance(part, tuple):
        event, data = part
        return event, data
    if isinstance(part, ServerSentEvent):
        return part.event or "message", part.data
    if isinstance(part, str):
        return "text", part
    return (None if isinstance(part, dict) and "type" in part else "message"), part


def _tool_call(call: Any) -> Chunk:
    chunk = {"type": "tool-input-available", "toolCallId": call["id"], "toolName": call["name"], "input": call["input"]}
    return {**chunk, "type": "tool-input-error", "errorText": call["error"]} if call.get("error") else chunk


def _tool_result(result: Any) -> Chunk:
    if result.get("error"):
        said = result["output"] if isinstance(result["output"], str) else "the tool failed"
        return {"type": "tool-output-error", "toolCallId": result["id"], "errorText": said}
    return {"type": "tool-output-available", "toolCallId": result["id"], "output": result["output"]}
