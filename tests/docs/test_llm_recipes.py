"""The recipes for the streams of language models read what the APIs send.

The recordings were made by hand, true to the formats that the APIs' providers have published.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.docs.model_server import Asked, ModelServer, Refusal, Unended
from tests.docs.test_code_blocks import BLOCK, ROOT
from unbroken import EventSourceResponse
from unbroken.client import DecodedEvent
from unbroken.errors import EventDataError, StreamTruncated, UnexpectedResponse
from unbroken.testing import RecordedStream, StreamEnd, open_stream
from unbroken.testing.recorded import Cuts

T = TypeVar("T")

PAGE = (ROOT / "docs" / "howto" / "read-llm-streams.md").read_text()
RECORDINGS = Path(__file__).resolve().parents[1] / "client" / "recordings"

TEXT = "A stream that ends\nwithout saying so is “broken” 🌊."
HEADINGS = {
    "openai-chat": "OpenAI, and everything",
    "openrouter-chat": "OpenAI, and everything",
    "anthropic-messages": "Anthropic",
    "openai-responses": "OpenAI's Responses",
}
SHAPES = sorted(HEADINGS)
TOKENS = {"openai-chat": 33, "openrouter-chat": 40, "anthropic-messages": 31, "openai-responses": 95}


def recorded(name: str) -> RecordedStream:
    """Return a recording."""
    return RecordedStream.load(RECORDINGS / f"{name}.sse")


def recipe(heading: str) -> dict[str, Any]:
    """Run the blocks of a section, and return what they define."""
    section = re.search(rf"^##+ {re.escape(heading)}.*?(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    defined: dict[str, Any] = {"__name__": "recipe"}
    for block in BLOCK.finditer(section[0]):
        exec(compile(block[1], heading, "exec", dont_inherit=True), defined)
    return defined


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the recipes take from the environment."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "a-key")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run under a deadline."""

    async def within() -> T:
        async with asyncio.timeout(20):
            return await main

    return asyncio.run(within())


async def read(shape: str, server: ModelServer) -> list[str]:
    """Let the recipe of a shape read from a server, and return the texts it gave before it raised, if it did."""
    return [text async for text in reading(shape, server)]


def reading(shape: str, server: ModelServer) -> AsyncIterator[str]:
    """Return the recipe's generator."""
    defined = recipe(HEADINGS[shape])
    defined["URL"] = f"{server.url}/v1"
    answer: AsyncIterator[str] = defined["answer"]("Why?")
    return answer


async def outcome(shape: str, recording: RecordedStream) -> tuple[str, Exception | None]:
    """Return the text that came, and the error behind it, if there was one."""
    text = ""
    async with ModelServer(recording).running() as server:
        try:
            async for piece in reading(shape, server):
                text += piece
        except Exception as error:
            return text, error
    return text, None


@pytest.mark.parametrize("cuts", ["whole", "event", "byte", "random"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_answer_is_its_text(shape: str, cuts: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However the network cuts it; and the usage is told."""
    sizes: Cuts = [random.randint(1, 200) for _ in range(50)] if cuts == "random" else cuts  # type: ignore[assignment]

    async def main() -> str:
        async with ModelServer(recorded(shape).cut(sizes)).running() as server:
            return "".join(await read(shape, server))

    assert run(main()) == TEXT, sizes
    assert capsys.readouterr().out == f"{TOKENS[shape]} tokens\n"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_request_is_the_apis(shape: str) -> None:
    """A POST of JSON that asks for a stream, with the key."""

    async def main() -> Asked:
        async with ModelServer(recorded(shape)).running() as server:
            await read(shape, server)
            (asked,) = server.requests
            return asked

    asked = run(main())
    assert (asked.method, asked.json["stream"]) == ("POST", True)
    assert asked.headers["content-type"] == "application/json"
    assert "a-key" in (asked.headers.get("authorization", "") + asked.headers.get("x-api-key", ""))


def places(shape: str) -> list[int]:
    """Return where a recording is broken off: random places, and each blank line but the last ones."""
    body = recorded(shape).body
    ends = [found.end() for found in re.finditer(rb"\n\n", body)]
    return [*random.sample(range(1, ends[-2]), 4), *random.sample(ends[:-1], 2), ends[-2]]


@pytest.mark.parametrize("how", ["reset", "complete"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_broken_answer_is_no_answer(shape: str, how: str) -> None:
    """Wherever it breaks off, and also where HTTP has the body for complete: what came is given, then it raises."""

    async def main() -> None:
        for place in places(shape):
            recording = recorded(shape).truncated(after_bytes=place)
            if how == "complete":
                recording = RecordedStream(recording.body)
            text, error = await outcome(shape, recording)
            assert isinstance(error, StreamTruncated), place
            assert TEXT.startswith(text), place

    run(main())


@pytest.mark.parametrize(
    ("shape", "name", "says"),
    [
        ("openai-chat", "openai-chat-error", "had an error"),
        ("openrouter-chat", "openrouter-chat-error", "broke the connection"),
        ("anthropic-messages", "anthropic-messages-error", "overloaded_error: Overloaded"),
        ("openai-responses", "openai-responses-failed", "failed to generate"),
        ("openai-responses", "openai-responses-incomplete", "max_output_tokens"),
    ],
    ids=["openai-chat", "openrouter-chat", "anthropic", "responses-failed", "responses-incomplete"],
)
def test_an_error_in_the_stream_is_raised(shape: str, name: str, says: str) -> None:
    """Behind the text before it, with what the API says; also where `[DONE]` follows."""
    text, error = run(outcome(shape, recorded(name)))
    assert (text, type(error).__name__) == ("A stream", "AnswerError")
    assert says in str(error)


@pytest.mark.parametrize(
    ("shape", "old", "new", "says"),
    [
        ("openai-chat", b'"finish_reason":"stop"', b'"finish_reason":"length"', "length"),
        ("anthropic-messages", b'"end_turn"', b'"max_tokens"', "max_tokens"),
        ("openai-chat", b'"finish_reason":"stop"', b'"finish_reason":null', "no finish_reason came"),
        ("anthropic-messages", b'"end_turn"', b"null", "no stop_reason came"),
        ("openai-responses", b'"response.completed"', b'"response.failed"', "None"),
    ],
    ids=["openai-chat", "anthropic", "openai-chat-none", "anthropic-none", "responses-failed-without-a-word"],
)
def test_an_answer_that_was_cut_short_by_the_model(shape: str, old: bytes, new: bytes, says: str) -> None:
    """Its stream is whole, and it is not."""
    cut = RecordedStream(recorded(shape).body.replace(old, new))
    text, error = run(outcome(shape, cut))
    assert (text, type(error).__name__) == (TEXT, "AnswerError")
    assert says in str(error)


@pytest.mark.parametrize(
    ("shape", "old", "new"),
    [
        ("openai-responses", rb'"usage":\{.*\}\},"seq', b'"usage":null},"seq'),
        ("anthropic-messages", rb"(event: message_delta.*?)\"end_turn\"(.*?\n\n)", rb"\1null\2\g<0>"),
    ],
    ids=["responses-without-usage", "anthropic-two-message-deltas"],
)
def test_a_whole_answer_in_another_form(shape: str, old: bytes, new: bytes) -> None:
    """What an API may leave out, or say in several events, makes no answer a broken one."""
    body, found = re.subn(old, new, recorded(shape).body, flags=re.DOTALL if shape.startswith("a") else 0)
    assert found == 1
    assert run(outcome(shape, RecordedStream(body))) == (TEXT, None)


def test_a_chunk_of_another_form_is_told() -> None:
    """With the event it was."""
    _, error = run(outcome("openai-chat", RecordedStream(b'data: {"choices": 3}\n\n')))
    assert isinstance(error, EventDataError)
    assert isinstance(error.event, DecodedEvent)
    assert error.event.data == '{"choices": 3}'


@pytest.mark.parametrize("shape", SHAPES)
def test_a_post_is_sent_once(shape: str) -> None:
    """A broken answer is not asked for again, nor is one that was refused; the refusal's own words are told."""

    async def main() -> None:
        busy = Refusal(429, b'{"error": {"message": "slow down"}}', {"retry-after": "1"})
        for answer in (recorded(shape).truncated(after_events=2), busy):
            async with ModelServer(answer).running() as server:
                with pytest.raises((StreamTruncated, UnexpectedResponse)) as raised:
                    await read(shape, server)
                assert len(server.requests) == 1
        assert "slow down" in str(raised.value)

    run(main())


def test_a_refused_request_is_sent_again() -> None:
    """A busy API, and one that hangs up, are asked again after the time they tell; a wrong key is not."""

    async def main() -> None:
        answer = recipe("Why a POST is not repeated")["patient_answer"]
        answer.__globals__["EventSource"] = quickly(answer.__globals__["EventSource"])
        refusals = (Refusal(529, headers={"retry-after": "0"}), Refusal(503, headers={"retry-after": "0"}))
        async with ModelServer(*refusals, recorded("openai-chat")).running() as server:
            answer.__globals__["URL"] = server.url
            assert "".join([text async for text in answer("Why?")]) == TEXT
            assert len(server.requests) == 3
        async with ModelServer(Refusal(401)).running() as server:
            answer.__globals__["URL"] = server.url
            with pytest.raises(UnexpectedResponse):
                await anext(answer("Why?"))
            assert len(server.requests) == 1

    run(main())


def test_a_background_response_is_read_once_over_many_connections() -> None:
    """Each event once and in order, whatever place each connection breaks off at."""
    body = recorded("openai-responses").body
    blocks = [block + b"\n\n" for block in body.split(b"\n\n")[:-1]]

    def answer(asked: Asked) -> RecordedStream:
        assert (asked.method, asked.query["stream"]) == ("GET", "true")
        rest = b"".join(blocks[int(asked.query.get("starting_after", -1)) + 1 :])
        return RecordedStream(rest).truncated(after_bytes=min(len(rest), random.randint(600, 1200)))

    async def main() -> None:
        async with ModelServer(answer=answer).running() as server:
            follow = recipe("An answer that survives its connection")["follow"]
            follow.__globals__["URL"] = server.url
            follow.__globals__["EventSource"] = quickly(follow.__globals__["EventSource"])
            numbers = [event["sequence_number"] async for event in follow("resp_1")]
            assert numbers == list(range(len(blocks)))
            assert len(server.requests) > 3

    run(main())


def test_a_background_response_that_failed_is_asked_for_once() -> None:
    """An event `error` is the last one."""

    async def main() -> None:
        error = RecordedStream(b'event: error\ndata: {"type": "error", "sequence_number": 1, "message": "gone"}\n\n')
        async with ModelServer(error).running() as server:
            follow = recipe("An answer that survives its connection")["follow"]
            follow.__globals__["URL"] = server.url
            follow.__globals__["EventSource"] = quickly(follow.__globals__["EventSource"])
            assert [event["message"] async for event in follow("resp_1")] == ["gone"]
            assert len(server.requests) == 1

    run(main())


def quickly(event_source: Any) -> Any:
    """Return the client, reconnecting at once."""
    return lambda *args, **arguments: event_source(*args, **arguments, reconnect_delay=0.0)


def test_a_whole_answer_is_a_whole_stream_for_the_browser() -> None:
    """And a broken one is visibly broken."""

    async def passed_on(recording: RecordedStream) -> tuple[str, StreamEnd | None, BaseException | None]:
        async with ModelServer(recording).running() as server:
            response = EventSourceResponse(reading("openai-chat", server))
            async with open_stream(response, raise_app_errors=False) as stream:
                events = await stream.until_end()
        return "".join(event.data for event in events if event.event == "message"), stream.ended, stream.error

    assert run(passed_on(recorded("openai-chat"))) == (TEXT, StreamEnd.COMPLETE, None)
    text, ended, error = run(passed_on(recorded("openai-chat").truncated(after_events=2)))
    assert (text, ended, type(error)) == ("A stream", StreamEnd.TRUNCATED, StreamTruncated)


def test_a_browser_that_leaves_lets_the_api_go() -> None:
    """The connection to the API is closed while the model is still at it."""

    async def main() -> None:
        async with ModelServer(Unended(recorded("openai-chat").truncated(after_events=2))).running() as server:
            async with open_stream(EventSourceResponse(reading("openai-chat", server))) as stream:
                await stream.next_event()
            await server.left.wait()

    run(main())


def test_first_words_close_the_connection() -> None:
    """`aclosing` ends the generator with the block."""

    async def main() -> None:
        defined = recipe("Pass it on to a browser")
        async with ModelServer(Unended(recorded("openai-chat"))).running() as server:
            texts = reading("openai-chat", server)
            defined["first_words"].__globals__["answer"] = lambda _: texts
            assert await defined["first_words"]("Why?") == "A stream"
            await server.left.wait()

    run(main())
