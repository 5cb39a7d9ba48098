"""Anthropic's own client, what it says being recorded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from tests.docs.model_server import ModelServer, Unended
from tests.runs.adapters.support import TEXT, anthropic_client, outcome, recorded, run, stopped, texts
from unbroken.errors import StreamTruncated
from unbroken.runs.adapters import Part, from_anthropic
from unbroken.testing import RecordedStream

pytest.importorskip("anthropic")

QUESTION: Any = [{"role": "user", "content": "Why?"}]

WAYS: dict[str, Callable[[Any], Any]] = {
    "create": lambda client: client.messages.create(model="m", max_tokens=9, messages=QUESTION, stream=True),
    "stream": lambda client: client.messages.stream(model="m", max_tokens=9, messages=QUESTION),
}


def reading(way: str, server: ModelServer) -> AsyncGenerator[Part, None]:
    """Return what the adapter makes of the client's stream."""
    client = anthropic_client(server)
    return from_anthropic(lambda: WAYS[way](client))


async def answered(way: str, recording: RecordedStream) -> tuple[list[Part], Exception | None]:
    """Return what the adapter makes of a recording."""
    async with ModelServer(recording).running() as server:
        return await outcome(reading(way, server))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_whole_answer_is_its_text_and_its_end(way: str) -> None:
    """What the model thought is apart, and the usage is that of the end."""
    parts, error = run(answered(way, recorded("anthropic-messages")))
    assert error is None
    assert texts(parts) == TEXT
    assert texts(parts, "reasoning") == "One sentence about streams."
    assert parts[-1] == ("finish", {"reason": "stop", "usage": {"input_tokens": 22, "output_tokens": 31}})


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_call_of_a_tool_comes_whole(way: str) -> None:
    """One without arguments too, and none of those that Anthropic makes itself."""
    parts, error = run(answered(way, recorded("anthropic-messages-tools")))
    assert error is None
    assert parts == [
        ("text", "Let me look."),
        ("tool-call", {"id": "toolu_1", "name": "get_weather", "input": {"city": "Roma"}}),
        ("tool-call", {"id": "toolu_2", "name": "now", "input": {}}),
        ("finish", {"reason": "tool-calls", "usage": {"input_tokens": 472, "output_tokens": 89}}),
    ]


@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_came_from_a_cache_is_counted_in(way: str) -> None:
    """As with the other models: this API alone counts it apart."""
    plain = recorded("anthropic-messages-tools").body
    assert b'"cache_creation_input_tokens":0,"cache_read_input_tokens":0' in plain
    cached = plain.replace(
        b'"cache_creation_input_tokens":0,"cache_read_input_tokens":0',
        b'"cache_creation_input_tokens":100,"cache_read_input_tokens":1000',
    )
    parts, _ = run(answered(way, RecordedStream(cached)))
    assert parts[-1][1]["usage"]["input_tokens"] == 1572


@pytest.mark.parametrize("way", sorted(WAYS))
def test_an_error_in_the_stream_is_raised(way: str) -> None:
    """Behind the text that came before it."""
    parts, error = run(answered(way, recorded("anthropic-messages-error")))
    assert texts(parts) == "A stream"
    assert "Overloaded" in str(error)


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("how", ["reset", "complete"])
def test_an_answer_without_its_end_is_truncated(way: str, how: str) -> None:
    """Also where HTTP has the body for complete, which the client takes for the end."""
    cut = recorded("anthropic-messages").truncated(after_events=9)
    parts, error = run(answered(way, cut if how == "reset" else RecordedStream(cut.body)))
    assert texts(parts) == "A stream"
    assert isinstance(error, StreamTruncated) is (how == "complete")
    assert error is not None


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("how", ["cancel", "aclose"])
def test_a_run_that_stops_stops_the_model(way: str, how: str) -> None:
    """The request is closed while the model is still at it."""

    async def main() -> str:
        beginning = RecordedStream(recorded("anthropic-messages").truncated(after_events=9).body)
        async with ModelServer(Unended(beginning)).running() as server:
            return texts(await stopped(lambda: reading(way, server), server, how))

    assert run(main()) == "A stream"
