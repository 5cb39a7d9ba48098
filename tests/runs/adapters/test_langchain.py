"""LangGraph's own graphs, and LangChain's chains, whose model is OpenAI's client at a recording."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from tests.docs.model_server import Asked, ModelServer, Unended
from tests.runs.adapters.support import TEXT, openai_client, outcome, recorded, run, stopped, texts
from unbroken.runs.adapters import Part, from_langchain
from unbroken.testing import RecordedStream

pytest.importorskip("openai")
callbacks: Any = pytest.importorskip("langchain_core.callbacks")
models: Any = pytest.importorskip("langchain_core.language_models")
messages: Any = pytest.importorskip("langchain_core.messages")
outputs: Any = pytest.importorskip("langchain_core.outputs")
tools: Any = pytest.importorskip("langchain_core.tools")
graphs: Any = pytest.importorskip("langgraph.graph")
prebuilt: Any = pytest.importorskip("langgraph.prebuilt")
types: Any = pytest.importorskip("langgraph.types")

QUESTION = {"messages": [("user", "How is the weather in Rome?")]}
TOOL_CALL = ("tool-call", {"id": "call_A", "name": "get_weather", "input": {"city": "Roma"}})


def model_of(server: ModelServer, *, streams: bool = True) -> Any:
    """Return a chat model of LangChain's that asks that server."""
    client = openai_client(server)

    class Model(models.BaseChatModel):  # type: ignore[misc] # it is Any
        @property
        def _llm_type(self) -> str:
            return "recorded"

        def _generate(self, *arguments: Any, **options: Any) -> Any:
            raise NotImplementedError

        async def _stream_of(self, asked: Any) -> AsyncIterator[Any]:
            question = [{"role": "user", "content": str(message.content)} for message in asked]
            stream = await client.chat.completions.create(model="m", messages=question, stream=True)
            async with stream:
                async for chunk in stream:
                    yield _message(chunk)

        if streams:

            async def _astream(self, asked: Any, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
                async for message in self._stream_of(asked):
                    yield outputs.ChatGenerationChunk(message=message)

        async def _agenerate(self, asked: Any, *arguments: Any, **options: Any) -> Any:
            whole = None
            async for message in self._stream_of(asked):
                whole = message if whole is None else whole + message
            return outputs.ChatResult(generations=[outputs.ChatGeneration(message=whole)])

    return Model()


def _message(chunk: Any) -> Any:
    said: dict[str, Any] = {"content": ""}
    if chunk.usage:
        usage = chunk.usage
        said["usage_metadata"] = {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
    for choice in chunk.choices:
        thought = getattr(choice.delta, "reasoning", None)
        said["content"] = [{"type": "reasoning", "reasoning": thought}] if thought else choice.delta.content or ""
        if choice.finish_reason:
            said["response_metadata"] = {"finish_reason": choice.finish_reason}
        said["tool_call_chunks"] = [
            {"id": call.id, "name": call.function.name, "args": call.function.arguments, "index": call.index}
            for call in choice.delta.tool_calls or ()
        ]
    return messages.AIMessageChunk(**said)


def agent_of(server: ModelServer, weather: Any) -> Any:
    """Return a graph: the model, the tools that it calls, and the model again."""
    model = model_of(server)

    async def now() -> str:
        """Tell the time."""
        return "noon"

    async def answer(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def called(state: Any) -> str:
        return "tools" if state["messages"][-1].tool_calls else str(graphs.END)

    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("model", answer)
    graph.add_node("tools", prebuilt.ToolNode([tools.tool(weather), tools.tool(now)], handle_tool_errors=True))
    graph.add_edge(graphs.START, "model")
    graph.add_conditional_edges("model", called, ["tools", graphs.END])
    graph.add_edge("tools", "model")
    return graph.compile()


def first_tools(asked: Asked) -> RecordedStream:
    """Answer a question with calls of tools, and their results with a text."""
    return recorded("openai-chat-tools" if len(asked.json["messages"]) == 1 else "openai-chat")


async def agents_answer(weather: Any) -> list[Part]:
    """Return what an agent says whose tool is this one."""
    async with ModelServer(answer=first_tools).running() as server:
        graph = agent_of(server, weather)
        parts, error = await outcome(from_langchain(lambda: graph.astream_events(QUESTION, version="v2")))
    assert error is None
    return parts


def test_an_agents_run_is_its_models_and_its_tools() -> None:
    """In their order, with an end for each answer of the model."""

    async def get_weather(city: str) -> str:
        """Tell the weather."""
        await callbacks.adispatch_custom_event("progress", {"asking": city})
        return f"sunny in {city}"

    parts = run(agents_answer(get_weather))
    assert parts[:3] == [
        TOOL_CALL,
        ("tool-call", {"id": "call_B", "name": "now", "input": {}}),
        ("finish", {"reason": "tool-calls", "usage": {"input_tokens": 51, "output_tokens": 28}}),
    ]
    between, answer = parts[3:6], parts[6:]
    assert ("progress", {"asking": "Roma"}) in between
    assert ("tool-result", {"id": "call_A", "name": "get_weather", "output": "sunny in Roma"}) in between
    assert ("tool-result", {"id": "call_B", "name": "now", "output": "noon"}) in between
    assert texts(answer) == TEXT
    assert answer[-1] == ("finish", {"reason": "stop", "usage": {"input_tokens": 19, "output_tokens": 14}})


def test_a_tool_that_fails_is_told_without_its_words() -> None:
    """They are for the model, which goes on."""

    async def get_weather(city: str) -> str:
        """Tell the weather."""
        raise LookupError(f"secret of {city}")

    parts = run(agents_answer(get_weather))
    assert ("tool-result", {"id": "call_A", "name": "get_weather", "output": None, "error": True}) in parts
    assert "secret" not in str(parts)
    assert texts(parts) == TEXT


@pytest.mark.parametrize("shape", ["dict", "single", "pairs", "messages", "commands"])
def test_a_tool_that_moves_its_graph_on_has_a_result_too(shape: str) -> None:
    """It returns a `Command`, or several, and in there is what it says."""

    def update(said: Any) -> Any:
        named = {"single": {"messages": said}, "pairs": [("messages", [said])], "messages": [said]}
        return named.get(shape, {"messages": [said]})

    async def moving() -> AsyncGenerator[Any, None]:
        command = types.Command(update=update(messages.ToolMessage("sunny", tool_call_id="call_A")))
        output = [types.Command(goto="model"), command] if shape == "commands" else command
        yield {"event": "on_tool_end", "run_id": "r", "name": "get_weather", "data": {"output": output}}

    async def main() -> list[Part]:
        return [part async for part in from_langchain(moving())]

    assert run(main()) == [("tool-result", {"id": "call_A", "name": "get_weather", "output": "sunny"})]


def test_a_tools_command_is_heard_in_a_graph() -> None:
    """As LangGraph gives it."""

    async def get_weather(city: str) -> Any:
        """Tell the weather."""
        said = messages.ToolMessage(f"sunny in {city}", tool_call_id="call_A")
        return types.Command(update={"messages": [said]})

    parts = run(agents_answer(get_weather))
    assert ("tool-result", {"id": "call_A", "name": "get_weather", "output": "sunny in Roma"}) in parts


@pytest.mark.parametrize("kind", ["FakeStreamingListLLM", "FakeListLLM"])
def test_a_model_that_is_no_chat_model_is_heard(kind: str) -> None:
    """Whether it streams or not, it gives a text and an end."""
    fakes = pytest.importorskip("langchain_core.language_models.fake")
    model = getattr(fakes, kind)(responses=["hello"])

    async def main() -> list[Part]:
        return [part async for part in from_langchain(model.astream_events("Why?", version="v2"))]

    parts = run(main())
    assert texts(parts) == "hello"
    assert parts[-1] == ("finish", {"reason": "stop"})


def test_what_has_no_json_form_is_told_as_text() -> None:
    """A tool outside an agent may return what it likes."""

    async def look(city: str) -> Any:
        """Look."""
        return {city: object}

    async def main() -> list[Part]:
        return [part async for part in from_langchain(tools.tool(look).astream_events({"city": "Roma"}, version="v2"))]

    ((event, result),) = run(main())
    assert (event, result["output"]) == ("tool-result", "{'Roma': <class 'object'>}")


@pytest.mark.parametrize("streams", [True, False], ids=["streaming", "whole"])
def test_a_chain_is_its_models_text(streams: bool) -> None:
    """In pieces where the model streams, and else in one; what it thinks is apart."""

    async def main() -> list[Part]:
        async with ModelServer(recorded("openrouter-chat")).running() as server:
            chain = model_of(server, streams=streams) | (lambda message: message)
            return [part async for part in from_langchain(chain.astream_events("Why?", version="v2"))]

    parts = run(main())
    assert texts(parts) == TEXT
    assert texts(parts, "reasoning") == "They ask for one sentence."
    assert (sum(event == "text" for event, _ in parts) == 1) is not streams
    assert [event for event, _ in parts].count("finish") == 1


def test_a_chains_error_is_raised() -> None:
    """Behind the text that came before it."""

    async def main() -> tuple[list[Part], Exception | None]:
        async with ModelServer(recorded("openai-chat-error")).running() as server:
            return await outcome(from_langchain(model_of(server).astream_events("Why?", version="v2")))

    parts, error = run(main())
    assert texts(parts) == "A stream"
    assert "had an error" in str(error)


@pytest.mark.parametrize("how", ["cancel", "aclose"])
def test_a_run_that_stops_stops_the_model(how: str) -> None:
    """The graph is cancelled, and so is the request of the model in it."""

    async def get_weather(city: str) -> str:
        """Tell the weather."""
        return city

    async def main() -> str:
        beginning = RecordedStream(recorded("openai-chat").truncated(after_events=3).body)
        async with ModelServer(Unended(beginning)).running() as server:
            graph = agent_of(server, get_weather)

            def reading() -> AsyncGenerator[Part, None]:
                return from_langchain(graph.astream_events(QUESTION, version="v2"))

            return texts(await stopped(reading, server, how))

    assert run(main()).startswith("A stream")
