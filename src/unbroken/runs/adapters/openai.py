"""OpenAI's two streams: of Chat Completions, which many others speak, and of Responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from unbroken.errors import StreamFailed
from unbroken.runs.adapters.parts import Part, finish, tool_call
from unbroken.runs.adapters.source import opened, rest_of

__all__ = ["from_openai"]


async def from_openai(source: Any) -> AsyncGenerator[Part, None]:
    """Yield what a model answers, as `(event, data)` for a run to send.

        run = await runs.start(from_openai, lambda: client.chat.completions.create(model=…, messages=…, stream=True))

    The events are `text`, `reasoning`, `tool-call` and, at the end, `finish`; of several choices, the first. With Chat
    Completions, the usage must be asked for: `stream_options={"include_usage": True}`. Closing the generator, or
    cancelling what iterates over it, closes the request: the model stops.

    Args:
        source: An `AsyncOpenAI` client's stream of `chat.completions` or `responses`, by `create(stream=True)` or by
            `stream()`; or a function without arguments that returns it, so that the request is made by the run. Give a
            function where `start` may find a run that is there (`id=`, `group=`): nobody would close an open stream.

    Raises:
        ConfigurationError: it is none.
        StreamFailed: the API said, in the stream, that the model failed.
        StreamTruncated: the stream ended before the answer did.
        Exception: whatever the client raises.
    """
    answer = _OpenAIAnswer()
    async with opened(source) as stream:
        async for item in stream:
            for part in answer.read(item):
                yield part
    for part in rest_of(answer):
        yield part


class _OpenAIAnswer:
    """Whichever of the two comes: each has its own name for its items."""

    def __init__(self) -> None:
        self._chat = _ChatAnswer()
        self._response = _ResponseAnswer()

    @property
    def whole(self) -> bool:
        return self._chat.whole or self._response.whole

    def read(self, item: Any) -> list[Part]:
        if getattr(item, "type", None) == "chunk":
            item = item.chunk  # chat.completions.stream() wraps what create() gives, and tells it once more in parts
        if hasattr(item, "choices"):
            return self._chat.read(item)
        return self._response.read(item)

    def end(self) -> list[Part]:
        return self._chat.end() if self._chat.whole else []


class _ChatAnswer:
    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int | None, _Call] = {}
        self._reason: str | None = None
        self._usage: Any = None

    @property
    def whole(self) -> bool:
        return self._reason is not None

    def read(self, chunk: Any) -> list[Part]:
        # The usage follows behind the choices' end, in a chunk without any.
        self._usage = getattr(chunk, "usage", None) or self._usage
        return [part for choice in chunk.choices if choice.index == 0 for part in self._of_choice(choice)]

    def _of_choice(self, choice: Any) -> list[Part]:
        if choice.finish_reason == "error":
            raise StreamFailed("the model's provider failed in mid-answer")
        self._reason = choice.finish_reason or self._reason
        for piece in getattr(choice.delta, "tool_calls", None) or ():
            self._call_of(piece).add(piece)
        return _texts(choice.delta)

    def _call_of(self, piece: Any) -> _Call:
        call = self._by_index.get(piece.index)
        if call is None or call.is_another(piece):
            call = self._by_index[piece.index] = _Call()
            self._calls.append(call)
        return call

    def end(self) -> list[Part]:
        calls = [tool_call(call.id, call.name, call.arguments) for call in self._calls]
        assert self._reason is not None
        tokens = (self._usage.prompt_tokens, self._usage.completion_tokens) if self._usage else ()
        return [*calls, finish(self._reason, *tokens)]


class _Call:
    """A call of a tool, which comes in pieces: its name first, its arguments letter by letter."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments = ""

    def is_another(self, piece: Any) -> bool:
        """Whether a piece of the same index begins another call: Gemini and some proxies number none of them."""
        return bool(piece.id and self.id and piece.id != self.id and piece.function and piece.function.name)

    def add(self, piece: Any) -> None:
        self.id = piece.id or self.id
        if piece.function is not None:
            self.name = piece.function.name or self.name  # some say it with each piece
            self.arguments += piece.function.arguments or ""


def _texts(delta: Any) -> list[Part]:
    # vLLM, DeepSeek and OpenRouter have fields of their own for what a model thinks.
    thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
    said = getattr(delta, "content", None) or getattr(delta, "refusal", None)
    return [*([("reasoning", thought)] if thought else ()), *([("text", said)] if said else ())]


class _ResponseAnswer:
    def __init__(self) -> None:
        self.whole = False
        self._called = False

    def read(self, event: Any) -> list[Part]:
        match event.type:
            case "response.output_text.delta" | "response.refusal.delta":
                return [("text", event.delta)]
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                return [("reasoning", event.delta)]
            case "response.reasoning_summary_part.added" if event.summary_index:
                return [("reasoning", "\n\n")]
            case "response.output_item.done":
                return self._of_item(event.item)
            case "response.completed" | "response.incomplete":
                return [self._end_of(event.response)]
            case "response.failed" | "response.cancelled" | "error":
                raise StreamFailed(_failure(event))
        return []

    def _of_item(self, item: Any) -> list[Part]:
        match item.type:
            case "function_call":
                call = tool_call(item.call_id, item.name, item.arguments)
            case "custom_tool_call":
                call = ("tool-call", {"id": item.call_id, "name": item.name, "input": item.input})
            case _:
                return []
        self._called = True
        return [call]

    def _end_of(self, response: Any) -> Part:
        self.whole = True
        short = response.incomplete_details
        reason = (short.reason if short else None) or ("tool_calls" if self._called else "stop")
        tokens = (response.usage.input_tokens, response.usage.output_tokens) if response.usage else ()
        return finish(reason, *tokens)


def _failure(event: Any) -> str:
    response = getattr(event, "response", None)
    error = event if response is None else response.error
    said = f"{error.code}: {error.message}" if error is not None else event.type
    return f"the API ended the answer: {said}"
