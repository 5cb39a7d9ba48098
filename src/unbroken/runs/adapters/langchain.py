"""LangChain's and LangGraph's `astream_events`: all models and tools of a chain, a graph or an agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any

from unbroken.errors import EncodeError
from unbroken.runs.adapters.parts import Part, finish
from unbroken.runs.adapters.source import opened
from unbroken.wire.json_data import to_json

__all__ = ["from_langchain"]


async def from_langchain(source: Any) -> AsyncGenerator[Part, None]:
    """Yield what the models and the tools of a chain or a graph say, as `(event, data)` for a run to send.

        run = await runs.start(from_langchain, lambda: graph.astream_events(state, version="v2"))

    The events are `text` and `reasoning`, `tool-call` and `tool-result`, and `finish` for each answer of a model; a
    custom event goes under its own name. Which models and tools are heard is for `astream_events` to say
    (`include_tags=…`, `exclude_names=…`). Closing the generator, or cancelling what iterates over it, cancels the
    graph.

    Args:
        source: What `astream_events(…, version="v2")` returned; or a function without arguments that returns it, as is
            needed where `start` may find a run that is there (`id=`, `group=`). Needs langchain-core 1.0 or newer.

    Raises:
        ConfigurationError: it is none.
        Exception: whatever the chain raises.
    """
    streamed: set[str] = set()
    async with opened(source) as events:
        async for event in events:
            for part in _parts(event, streamed):
                yield part


def _parts(event: Any, streamed: set[str]) -> Iterator[Part]:
    data, run = event["data"], event["run_id"]
    match event["event"]:
        case "on_chat_model_stream":
            streamed.add(run)
            yield from _texts(data["chunk"])
        case "on_chat_model_end":
            if run not in streamed:  # a model that cannot stream, or from a cache
                yield from _texts(data["output"])
            streamed.discard(run)
            yield from _end(data["output"])
        case "on_llm_stream":
            streamed.add(run)
            yield from _text(data["chunk"])
        case "on_llm_end":
            if run not in streamed:
                yield from _text(data["output"]["generations"][0][0])
            streamed.discard(run)
            yield finish("stop")
        case "on_tool_end":
            yield "tool-result", _result(event)
        case "on_tool_error":
            # What it raised is for the log, and for the model.
            yield (
                "tool-result",
                {"id": data.get("tool_call_id") or run, "name": event["name"], "output": None, "error": True},
            )
        case "on_custom_event":
            yield event["name"], data


def _texts(message: Any) -> Iterator[Part]:
    # In these blocks the providers' messages look the same.
    for block in message.content_blocks:
        match block["type"]:
            case "text" if block["text"]:
                yield "text", block["text"]
            case "reasoning" if block.get("reasoning"):
                yield "reasoning", block["reasoning"]


def _text(generation: Any) -> Iterator[Part]:
    """Say what a model gives that is no chat model: a text, and no more."""
    text = generation["text"] if isinstance(generation, dict) else getattr(generation, "text", generation)
    if text:
        yield "text", text


def _end(message: Any) -> Iterator[Part]:
    for call in message.tool_calls:
        yield "tool-call", {"id": call["id"], "name": call["name"], "input": call["args"]}
    for call in message.invalid_tool_calls:
        yield "tool-call", {"id": call["id"], "name": call["name"], "input": call["args"], "error": call["error"]}
    said, usage = message.response_metadata, message.usage_metadata or {}
    reason = said.get("finish_reason") or said.get("stop_reason") or ("tool_calls" if message.tool_calls else "stop")
    yield finish(reason, usage.get("input_tokens"), usage.get("output_tokens"))


def _result(event: Any) -> dict[str, Any]:
    message = _message_of(event["data"]["output"])
    call = getattr(message, "tool_call_id", None) or event["run_id"]
    result = {"id": call, "name": event["name"], "output": _output(message)}
    if getattr(message, "status", None) == "error":
        result["error"] = True
    return result


def _message_of(output: Any) -> Any:
    """Return the message in a `Command`, by which a tool moves its graph on; or else what the tool returned."""
    commands = [it for it in (output if isinstance(output, list) else [output]) if hasattr(it, "goto")]
    if not commands:
        return output
    found = (message for command in commands for message in _messages_in(command.update))
    return next((message for message in found if hasattr(message, "tool_call_id")), None)


def _messages_in(update: Any) -> list[Any]:
    """Return what a `Command` adds to its graph: by name in a dict or in pairs, or as it is."""
    named = update.items() if isinstance(update, dict) else update if isinstance(update, list | tuple) else [update]
    found = []
    for it in named:
        value = it[1] if isinstance(it, tuple) and len(it) == 2 else it
        found += value if isinstance(value, list) else [value]
    return found


def _output(message: Any) -> Any:
    output = getattr(message, "content", message)
    try:
        to_json(output)
    except EncodeError:  # a tool may return what it likes
        return str(output)
    return output
