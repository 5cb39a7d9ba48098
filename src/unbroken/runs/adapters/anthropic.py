"""Anthropic's stream of messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from unbroken.runs.adapters.parts import Part, finish, tool_call
from unbroken.runs.adapters.source import opened, rest_of

__all__ = ["from_anthropic"]


async def from_anthropic(source: Any) -> AsyncGenerator[Part, None]:
    """Yield what a model answers, as `(event, data)` for a run to send.

        run = await runs.start(from_anthropic, lambda: client.messages.stream(model=…, max_tokens=…, messages=…))

    The events are `text`, `reasoning`, `tool-call` (of your own tools) and, at the end, `finish` with the usage.
    Closing the generator, or cancelling what iterates over it, closes the request: the model stops.

    Args:
        source: An `AsyncAnthropic` client's `messages.stream(…)`, or its `messages.create(…, stream=True)`; or a
            function without arguments that returns it, so that the request is made by the run. Give a function where
            `start` may find a run that is there (`id=`, `group=`): nobody would close an open stream.

    Raises:
        ConfigurationError: it is none.
        StreamTruncated: the stream ended before the answer did.
        Exception: whatever the client raises, for an error in the stream too.
    """
    answer = _MessageAnswer()
    async with opened(source) as stream:
        async for item in stream:
            for part in answer.read(item):
                yield part
    for part in rest_of(answer):
        yield part


class _MessageAnswer:
    def __init__(self) -> None:
        self.whole = False
        self._call: tuple[str, str, list[str]] | None = None
        self._reason = ""
        self._input_tokens = 0
        self._output_tokens = 0

    def read(self, event: Any) -> list[Part]:
        # What messages.stream() adds of its own (`text`, `input_json`, …) says the same once more.
        match event.type:
            case "message_start":
                self._input_tokens = _input_of(event.message.usage)
            case "content_block_start":
                block = event.content_block
                # The tools that Anthropic runs itself are its own affair.
                self._call = (block.id, block.name, []) if block.type == "tool_use" else None
            case "content_block_delta":
                return self._of_delta(event.delta)
            case "content_block_stop":
                return self._end_of_call()
            case "message_delta":
                self._reason = event.delta.stop_reason or self._reason
                self._output_tokens = event.usage.output_tokens  # the sum so far
            case "message_stop":
                self.whole = True
        return []

    def _of_delta(self, delta: Any) -> list[Part]:
        match delta.type:
            case "text_delta":
                return [("text", delta.text)]
            case "thinking_delta":
                return [("reasoning", delta.thinking)]
            case "input_json_delta" if self._call is not None:
                self._call[2].append(delta.partial_json)
        return []

    def _end_of_call(self) -> list[Part]:
        call, self._call = self._call, None
        return [] if call is None else [tool_call(call[0], call[1], "".join(call[2]))]

    def end(self) -> list[Part]:
        return [finish(self._reason, self._input_tokens, self._output_tokens)]


def _input_of(usage: Any) -> int:
    """Return all tokens that went in. This API counts those of its cache apart, the others count them in."""
    cached = (getattr(usage, f"cache_{what}_input_tokens", None) or 0 for what in ("creation", "read"))
    return int(usage.input_tokens + sum(cached))
