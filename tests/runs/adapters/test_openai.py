"""OpenAI's own client, what it says being recorded."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from tests.docs.model_server import ModelServer, Refusal, Unended
from tests.runs.adapters.support import TEXT, openai_client, outcome, recorded, run, stopped, texts
from unbroken.errors import ConfigurationError, StreamFailed, StreamTruncated
from unbroken.runs.adapters import Part, from_openai
from unbroken.testing import RecordedStream

pytest.importorskip("openai")

QUESTION: Any = [{"role": "user", "content": "Why?"}]

CREATE: dict[str, Callable[[Any], Any]] = {
    "openai-chat": lambda client: client.chat.completions.create(model="m", messages=QUESTION, stream=True),
    "openrouter-chat": lambda client: client.chat.completions.create(model="m", messages=QUESTION, stream=True),
    "openai-responses": lambda client: client.responses.create(model="m", input="Why?", stream=True),
}
STREAM: dict[str, Callable[[Any], Any]] = {
    "openai-chat": lambda client: client.chat.completions.stream(model="m", messages=QUESTION),
    "openai-responses": lambda client: client.responses.stream(model="m", input="Why?"),
}
USAGE = {
    "openai-chat": {"input_tokens": 19, "output_tokens": 14},
    "openrouter-chat": {"input_tokens": 19, "output_tokens": 21},
    "openai-responses": {"input_tokens": 18, "output_tokens": 77},
}
SHAPES = sorted(CREATE)


def reading(shape: str, server: ModelServer) -> AsyncGenerator[Part, None]:
    """Return what the adapter makes of a stream of that shape."""
    client = openai_client(server)
    return from_openai(lambda: CREATE[shape](client))


async def answered(shape: str, recording: RecordedStream) -> tuple[list[Part], Exception | None]:
    """Return what the adapter makes of a recording."""
    async with ModelServer(recording).running() as server:
        return await outcome(reading(shape, server))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_answer_is_its_text_and_its_end(shape: str) -> None:
    """Piece by piece, with the reason and the usage behind it."""
    parts, error = run(answered(shape, recorded(shape)))
    assert error is None
    assert texts(parts) == TEXT
    assert parts[-1] == ("finish", {"reason": "stop", "usage": USAGE[shape]})
    assert sum(event == "text" for event, _ in parts) > 5


@pytest.mark.parametrize("shape", sorted(STREAM))
def test_the_clients_other_way_of_streaming_gives_the_same(shape: str) -> None:
    """`stream()` wraps what `create()` gives, in a context manager."""

    async def main() -> tuple[list[Part], Exception | None]:
        async with ModelServer(recorded(shape)).running() as server:
            client = openai_client(server)
            return await outcome(from_openai(STREAM[shape](client)))

    assert run(main()) == run(answered(shape, recorded(shape)))


def test_a_stream_may_be_given_as_it_is() -> None:
    """Or as the coroutine that returns it."""

    async def main() -> None:
        async with ModelServer(recorded("openai-chat")).running() as server:
            client = openai_client(server)
            stream = await CREATE["openai-chat"](client)
            for source in (stream, CREATE["openai-chat"](client)):
                parts, error = await outcome(from_openai(source))
                assert (texts(parts), error) == (TEXT, None)

    run(main())


def test_what_a_model_thinks_is_apart() -> None:
    """In the field that its provider has for it, or as a summary in paragraphs."""
    parts, _ = run(answered("openrouter-chat", recorded("openrouter-chat")))
    assert texts(parts, "reasoning") == "They ask for one sentence."
    parts, _ = run(answered("openai-responses", recorded("openai-responses-tools")))
    assert texts(parts, "reasoning") == "They ask for the weather.\n\nA tool knows it."


@pytest.mark.parametrize(
    ("shape", "second", "usage"),
    [
        ("openai-chat", {"id": "call_B", "name": "now", "input": {}}, (51, 28)),
        ("openai-responses", {"id": "call_B", "name": "shell", "input": "ls -la"}, (40, 22)),
    ],
    ids=["chat", "responses"],
)
def test_a_call_of_a_tool_comes_whole(shape: str, second: dict[str, Any], usage: tuple[int, int]) -> None:
    """Its arguments, which come letter by letter, as what they say."""
    parts, error = run(answered(shape, recorded(f"{shape}-tools")))
    tokens = {"input_tokens": usage[0], "output_tokens": usage[1]}
    assert error is None
    assert [part for part in parts if part[0] != "reasoning"] == [
        ("tool-call", {"id": "call_A", "name": "get_weather", "input": {"city": "Roma"}}),
        ("tool-call", second),
        ("finish", {"reason": "tool-calls", "usage": tokens}),
    ]


@pytest.mark.parametrize("index", [b'"index":0,', b""], ids=["zero", "none"])
def test_calls_of_tools_that_have_no_numbers_are_told_by_their_ids(index: bytes) -> None:
    """Of Gemini's compatible API, and of proxies; some say a name with each piece."""
    body = recorded("openai-chat-tools").body
    said = body
    for number, name in ((b"0", b"get_weather"), (b"1", b"now")):
        piece = b'{"index":' + number + b',"function":{'
        said = said.replace(piece, piece + b'"name":"' + name + b'",')
    assert said != body
    said = re.sub(rb'("tool_calls":\[\{)"index":\d+,', rb"\1" + index, said)
    expected = run(answered("openai-chat", RecordedStream(body)))
    assert run(answered("openai-chat", RecordedStream(said))) == expected


def test_of_several_choices_the_first_is_the_answer() -> None:
    """They come by turns, and would be one muddle."""
    body = recorded("openai-chat").body
    chunks = [chunk + b"\n\n" for chunk in body.split(b"\n\n")[:-1]]
    both = b"".join(chunk + chunk.replace(b'"choices":[{"index":0', b'"choices":[{"index":1') for chunk in chunks[:-1])
    parts, error = run(answered("openai-chat", RecordedStream(both + chunks[-1])))
    assert (texts(parts), error) == (TEXT, None)


def test_arguments_that_were_cut_off_are_told() -> None:
    """A model at its limit leaves half a JSON behind."""
    body = recorded("openai-chat-tools").body
    cut = body.replace(rb"ty\":\"Roma\"}", b"").replace(b'"finish_reason":"tool_calls"', b'"finish_reason":"length"')
    parts, error = run(answered("openai-chat", RecordedStream(cut)))
    assert error is None
    assert parts[0] == (
        "tool-call",
        {"id": "call_A", "name": "get_weather", "input": '{"ci', "error": "the input is no JSON"},
    )
    assert parts[-1][1]["reason"] == "length"


@pytest.mark.parametrize(
    ("shape", "name", "kind", "says"),
    [
        ("openai-chat", "openai-chat-error", "APIError", "had an error"),
        ("openrouter-chat", "openrouter-chat-error", "APIError", "broke the connection"),
        ("openai-responses", "openai-responses-failed", "StreamFailed", "server_error: The model failed to generate"),
    ],
    ids=["chat", "openrouter", "responses"],
)
def test_an_error_in_the_stream_is_raised(shape: str, name: str, kind: str, says: str) -> None:
    """Behind the text that came before it."""
    parts, error = run(answered(shape, recorded(name)))
    assert (texts(parts), type(error).__name__) == ("A stream", kind)
    assert says in str(error)


def test_an_error_event_of_responses_is_raised() -> None:
    """It has no response in it."""
    said = b'data: {"type":"error","code":"rate_limit","message":"Slow down","param":null,"sequence_number":1}\n\n'
    _, error = run(answered("openai-responses", RecordedStream(b"event: error\n" + said)))
    assert type(error) is StreamFailed
    assert "rate_limit: Slow down" in str(error)


def test_an_incomplete_response_says_why() -> None:
    """It is an answer with an end, if not the one that was hoped for."""
    parts, error = run(answered("openai-responses", recorded("openai-responses-incomplete")))
    assert error is None
    assert parts == [("text", "A stream"), ("finish", {"reason": "length"})]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["reset", "complete"])
def test_an_answer_without_its_end_is_truncated(shape: str, how: str) -> None:
    """Also where HTTP has the body for complete, which the client takes for the end."""
    cut = recorded(shape).truncated(after_events=5)
    parts, error = run(answered(shape, cut if how == "reset" else RecordedStream(cut.body)))
    assert TEXT.startswith(texts(parts))
    assert "finish" not in dict(parts)
    assert isinstance(error, StreamTruncated) is (how == "complete")
    assert error is not None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["cancel", "aclose"])
def test_a_run_that_stops_stops_the_model(shape: str, how: str) -> None:
    """The request is closed while the model is still at it."""

    async def main() -> str:
        beginning = RecordedStream(recorded(shape).body[: recorded(shape).body.index(b"A stream") + 400])
        async with ModelServer(Unended(beginning)).running() as server:
            return texts(await stopped(lambda: reading(shape, server), server, how))

    assert run(main()).startswith("A stream")


def test_a_stream_is_closed_whoever_still_has_it() -> None:
    """Not some time later, when the garbage is collected."""

    async def main() -> None:
        async with ModelServer(Unended(recorded("openai-chat"))).running() as server:
            client = openai_client(server)
            stream = await CREATE["openai-chat"](client)
            parts = from_openai(stream)
            assert await anext(parts) == ("text", "A stream")
            await parts.aclose()
            assert stream.response.is_closed
            await server.left.wait()

    run(main())


def test_a_refused_request_is_the_clients_error() -> None:
    """With nothing of ours around it."""

    async def main() -> Exception | None:
        async with ModelServer(Refusal(401, b'{"error": {"message": "wrong key"}}')).running() as server:
            return (await outcome(reading("openai-chat", server)))[1]

    assert type(run(main())).__name__ == "AuthenticationError"


def test_a_synchronous_client_is_refused() -> None:
    """It would hold the event loop while the model thinks."""
    _, error = run(outcome(from_openai(lambda: iter(()))))
    assert isinstance(error, ConfigurationError)
    assert "AsyncOpenAI" in str(error)
