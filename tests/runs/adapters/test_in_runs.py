"""Runs that a model produces: what becomes of its request when the run ends, and of the run when the model fails."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request

from tests.docs.model_server import Answer, ModelServer, Unended
from tests.runs.adapters.support import TEXT, openai_client, recorded, run
from unbroken.hub import Hub
from unbroken.runs import Run, Runs, RunStatus
from unbroken.runs.adapters import from_openai
from unbroken.runs.encoders import ui_messages
from unbroken.testing import DrivenStream, RecordedStream, open_stream
from unbroken.wire import DecodedEvent

pytest.importorskip("openai")


@asynccontextmanager
async def model(answer: Answer) -> AsyncIterator[tuple[Runs, ModelServer, Callable[[], Any]]]:
    """Give runs, a model's API, and the request to it."""
    async with ModelServer(answer).running() as server, Runs(Hub("memory://")) as runs:
        client = openai_client(server)
        yield runs, server, lambda: client.chat.completions.create(model="m", messages=[], stream=True)


def reading(started: Run) -> Any:
    """Open a reader of a run."""
    return open_stream(lambda scope, receive, send: started.response(Request(scope))(scope, receive, send))


async def text_of(stream: DrivenStream) -> tuple[str, DecodedEvent]:
    """Read to the end, and return the text and the run's own last event."""
    events = await stream.until_end()
    (end,) = (event for event in events if event.event == "run-end")
    return "".join(event.data for event in events if event.event == "text"), end


def test_an_adapter_is_a_producer() -> None:
    """In one line, with the request made by the run; a second start with its id attaches, and asks nobody."""

    async def main() -> None:
        async with model(recorded("openai-chat")) as (runs, server, ask):
            first = await runs.start(from_openai, ask, id="answer")
            again = await runs.start(from_openai(ask), id="answer")
            for started in (first, again):
                async with reading(started) as stream:
                    text, end = await text_of(stream)
                    assert (text, end.json()["status"]) == (TEXT, "done")
            assert len(server.requests) == 1

    run(main())


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "ui-messages"])
def test_a_cancelled_run_closes_the_request_to_the_model(encoded: bool) -> None:
    """While the model is still at it; what it said until then can be read."""

    async def main() -> None:
        beginning = RecordedStream(recorded("openai-chat").truncated(after_events=3).body)
        async with model(Unended(beginning)) as (runs, server, ask):
            parts = from_openai(ask)
            started = await runs.start(ui_messages(parts) if encoded else parts)
            async with reading(started) as stream:
                while "A stream" not in (await stream.next_event()).data:
                    pass
                assert not server.left.is_set()
                await started.cancel()
                await server.left.wait()
                await stream.until_end()
            assert (await started.wait()).status is RunStatus.CANCELLED
            async with reading(started) as stream:
                assert "A stream" in "".join(event.data for event in await stream.until_end())

    run(main())


def test_leaving_ends_the_model_where_that_was_asked_for() -> None:
    """And only there: with `continue`, the request goes on without its reader."""

    async def main() -> None:
        for on_disconnect in ("continue", "cancel"):
            async with model(Unended(recorded("openai-chat").truncated(after_events=3))) as (runs, server, ask):
                started = await runs.start(from_openai, ask, on_disconnect=on_disconnect)
                async with reading(started) as stream:
                    while (await stream.next_event()).event != "text":
                        pass
                if on_disconnect == "cancel":
                    await server.left.wait()
                    assert (await started.wait()).status is RunStatus.CANCELLED
                else:
                    assert started.status is RunStatus.RUNNING
                    assert not server.left.is_set()

    run(main())


@pytest.mark.parametrize("name", ["openai-chat-error", "cut"])
def test_a_model_that_fails_ends_the_run_with_error(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its words are in the log; the readers have what came before, and never hang."""
    recording = RecordedStream(recorded("openai-chat").truncated(after_events=2).body)

    async def main() -> None:
        async with model(recording if name == "cut" else recorded(name)) as (runs, _, ask):
            async with reading(await runs.start(from_openai, ask)) as stream:
                text, end = await text_of(stream)
            assert (text, end.json()["status"]) == ("A stream", "error")
            assert "message" not in end.data

    with caplog.at_level(logging.ERROR):
        run(main())
    assert ("ended before its answer did" if name == "cut" else "had an error") in caplog.text


def test_shutting_down_closes_the_request_to_the_model() -> None:
    """A deploy is not paid for twice."""

    async def main() -> None:
        async with model(Unended(recorded("openai-chat"))) as (runs, server, ask):
            async with reading(await runs.start(from_openai, ask)) as stream:
                while (await stream.next_event()).event != "text":
                    pass
                await runs.close()
                await server.left.wait()
                _, end = await text_of(stream)
            assert end.json()["status"] == "interrupted"

    run(main())
