"""The AI SDK's UI message stream, as chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from unbroken import ServerSentEvent
from unbroken.runs.encoders import Chunk, ui_messages


async def parts_of(parts: Sequence[Any]) -> AsyncGenerator[Any, None]:
    """Yield these."""
    for part in parts:
        yield part


def chunks_of(*parts: Any, message_id: str | None = None) -> list[Chunk]:
    """Return what becomes of an answer's parts."""

    async def main() -> list[Chunk]:
        return [chunk async for chunk in ui_messages(parts_of(parts), message_id=message_id)]

    return asyncio.run(main())


def test_texts_are_opened_and_closed() -> None:
    """Each has an id of its own, and what the model thinks is another one."""
    assert chunks_of(("reasoning", "Hm"), ("text", "A"), ("text", "B"), ("finish", {"reason": "stop"})) == [
        {"type": "start"},
        {"type": "start-step"},
        {"type": "reasoning-start", "id": "reasoning-1"},
        {"type": "reasoning-delta", "id": "reasoning-1", "delta": "Hm"},
        {"type": "reasoning-end", "id": "reasoning-1"},
        {"type": "text-start", "id": "text-2"},
        {"type": "text-delta", "id": "text-2", "delta": "A"},
        {"type": "text-delta", "id": "text-2", "delta": "B"},
        {"type": "text-end", "id": "text-2"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
    ]


def test_an_agents_answers_are_steps() -> None:
    """With the usage of all of them at the end; a tool's result belongs to the step that called it, or to none."""
    usage = {"input_tokens": 5, "output_tokens": 2}
    call = {"id": "c", "name": "look", "input": {"at": 1}}
    chunks = chunks_of(
        ("text", "Let me see."),
        ("tool-call", call),
        ("finish", {"reason": "tool-calls", "usage": usage}),
        ("tool-result", {"id": "c", "name": "look", "output": [1]}),
        ("text", "One."),
        ("finish", {"reason": "stop", "usage": usage}),
    )
    assert [chunk["type"] for chunk in chunks] == [
        *("start", "start-step", "text-start", "text-delta", "text-end", "tool-input-available", "finish-step"),
        "tool-output-available",
        *("start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"),
    ]
    assert chunks[5] == {"type": "tool-input-available", "toolCallId": "c", "toolName": "look", "input": {"at": 1}}
    assert chunks[7] == {"type": "tool-output-available", "toolCallId": "c", "output": [1]}
    assert chunks[-1] == {
        "type": "finish",
        "finishReason": "stop",
        "messageMetadata": {"usage": {"input_tokens": 10, "output_tokens": 4}},
    }


@pytest.mark.parametrize(
    ("part", "chunk"),
    [
        (
            ("tool-call", {"id": "c", "name": "look", "input": "{", "error": "no JSON"}),
            {"type": "tool-input-error", "toolCallId": "c", "toolName": "look", "input": "{", "errorText": "no JSON"},
        ),
        (
            ("tool-result", {"id": "c", "name": "look", "output": None, "error": True}),
            {"type": "tool-output-error", "toolCallId": "c", "errorText": "the tool failed"},
        ),
        (
            ("tool-result", {"id": "c", "name": "look", "output": "no such place", "error": True}),
            {"type": "tool-output-error", "toolCallId": "c", "errorText": "no such place"},
        ),
        (("progress", {"at": 1}), {"type": "data-progress", "data": {"at": 1}}),
        (ServerSentEvent({"at": 1}, event="progress"), {"type": "data-progress", "data": {"at": 1}}),
        ({"at": 1}, {"type": "data-message", "data": {"at": 1}}),
        ({"type": "source-url", "sourceId": "s", "url": "u"}, {"type": "source-url", "sourceId": "s", "url": "u"}),
    ],
    ids=["cut-call", "failed-tool", "failed-tool-says", "event", "server-sent-event", "data", "chunk"],
)
def test_a_part_is_a_chunk(part: Any, chunk: Chunk) -> None:
    """What is a chunk already goes as it is, and what the protocol has no name for is data."""
    assert chunk in chunks_of(part)


def test_a_tool_that_no_model_called_is_announced() -> None:
    """The SDK breaks a message off at a result of a call that it knows nothing of."""
    chunks = chunks_of(("tool-result", {"id": "r", "name": "look", "output": 1}))
    assert chunks[1:3] == [
        {"type": "tool-input-available", "toolCallId": "r", "toolName": "look", "input": None},
        {"type": "tool-output-available", "toolCallId": "r", "output": 1},
    ]


def test_a_string_is_text() -> None:
    """So that a generator of words is an answer."""
    deltas = [chunk["delta"] for chunk in chunks_of("A ", "stream", message_id="m") if chunk["type"] == "text-delta"]
    assert deltas == ["A ", "stream"]


def test_a_message_may_have_its_id() -> None:
    """The page's own message is found again by it."""
    assert chunks_of(message_id="m") == [{"type": "start", "messageId": "m"}, {"type": "finish"}]


def test_a_reason_that_the_protocol_does_not_know_is_another() -> None:
    """It checks what it is given."""
    assert chunks_of(("finish", {"reason": "pause_turn"}))[-1] == {"type": "finish", "finishReason": "other"}


def test_an_answer_that_fails_has_no_finish() -> None:
    """Its error is the run's to tell, and its generator is closed."""
    closed = []

    async def failing() -> AsyncGenerator[Any, None]:
        try:
            yield "A"
            raise LookupError("no more words")
        finally:
            closed.append(True)

    async def main() -> list[str]:
        came = []
        with pytest.raises(LookupError):
            async for chunk in ui_messages(failing()):
                came.append(chunk["type"])  # noqa: PERF401 - what came before the error counts
        return came

    assert asyncio.run(main()) == ["start", "start-step", "text-start", "text-delta"]
    assert closed == [True]


def test_leaving_closes_the_answer() -> None:
    """And so the request of the model behind it."""
    closed = []

    async def endless() -> AsyncGenerator[Any, None]:
        try:
            while True:
                yield "A"
        finally:
            closed.append(True)

    async def main() -> None:
        chunks = ui_messages(endless())
        await anext(chunks)
        await anext(chunks)
        await chunks.aclose()

    asyncio.run(main())
    assert closed == [True]
