"""What the AI SDK's own transport makes of a run: real node, real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.e2e.packages import install
from unbroken.hub import Hub
from unbroken.runs import Runs
from unbroken.runs.encoders import ui_message_response, ui_messages
from unbroken.testing import open_stream

T = TypeVar("T")

SCRIPT = Path(__file__).with_name("read_ui_messages.mjs")
AIS = ["5.0.92", "6.0.326"]
"""Versions of the AI SDK: the oldest that knows all that is sent, and a newer one."""
USAGE = {"input_tokens": 3, "output_tokens": 2}


@pytest.fixture(scope="module", params=AIS)
def modules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the AI SDK is."""
    if shutil.which("node") is None:
        pytest.skip("there is no node on the PATH")
    return install(f"https://unpkg.com/ai@{request.param}", tmp_path_factory.mktemp("npm"))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run under a deadline."""

    async def within() -> T:
        async with asyncio.timeout(30):
            return await main

    return asyncio.run(within())


class Site:
    """An application with one route, which streams a run to `useChat`."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.app = Starlette(routes=[Route("/runs/{id}", self.response)])
        self.port = 0

    async def response(self, request: Request) -> Response:
        """Answer a request."""
        return ui_message_response(await self.runs.response(request.path_params["id"], request, max_age=5.0))

    async def read(self, modules: Path, run_id: str) -> dict[str, Any]:
        """Return what the AI SDK makes of a run."""
        url = f"http://127.0.0.1:{self.port}/runs/{run_id}"
        process = await asyncio.create_subprocess_exec(
            "node", str(SCRIPT), str(modules), url, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        seen: dict[str, Any] = json.loads(printed)
        return seen


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Site]:
    """Serve a site until the context is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Runs(Hub("memory://")) as runs:
            site = Site(runs)
            site.port = listener.getsockname()[1]
            server = uvicorn.Server(uvicorn.Config(site.app, log_level="error", lifespan="off"))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            yield site
            server.should_exit = True
            await serving


async def agent() -> AsyncGenerator[Any, None]:
    """Say something, use a tool, and say something again."""
    yield "reasoning", "Hm."
    yield "text", "Let me "
    yield "text", "look."
    yield "tool-call", {"id": "c", "name": "look", "input": {"at": 1}}
    yield "tool-call", {"id": "d", "name": "look", "input": '{"at', "error": "the input is no JSON"}
    yield "finish", {"reason": "tool-calls", "usage": USAGE}
    yield "progress", {"at": 1}
    yield "tool-result", {"id": "c", "name": "look", "output": ["🌊"]}
    yield "text", "Waves."
    yield "finish", {"reason": "stop", "usage": USAGE}


def told(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a message's parts, with what matters of them."""
    wanted = ("type", "text", "toolCallId", "state", "input", "output", "errorText", "data")
    return [{name: part[name] for name in wanted if name in part} for part in message["parts"]]


def test_an_answer_is_a_message_of_the_sdk(modules: Path) -> None:
    """With all its parts; and for whoever comes later it is the same."""

    async def main() -> list[dict[str, Any]]:
        async with served() as site:
            started = await site.runs.start(ui_messages(agent(), message_id="m"))
            return [await site.read(modules, started.id) for _ in range(2)]

    first, second = run(main())
    assert first == second
    assert (first["status"], first["protocol"], first["errors"]) == (200, "v1", [])
    assert first["chunks"][-1]["finishReason"] == "stop"
    message = first["message"]
    assert (message["id"], message["metadata"]) == ("m", {"usage": {"input_tokens": 6, "output_tokens": 4}})
    assert told(message) == [
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm.", "state": "done"},
        {"type": "text", "text": "Let me look.", "state": "done"},
        {"type": "tool-look", "toolCallId": "c", "state": "output-available", "input": {"at": 1}, "output": ["🌊"]},
        {"type": "tool-look", "toolCallId": "d", "state": "output-error", "errorText": "the input is no JSON"},
        {"type": "data-progress", "data": {"at": 1}},
        {"type": "step-start"},
        {"type": "text", "text": "Waves.", "state": "done"},
    ]


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ("cancelled", {"type": "abort"}),
        ("error", {"type": "error", "errorText": "error"}),
        ("timeout", {"type": "error", "errorText": "timeout"}),
    ],
    ids=["cancelled", "error", "timeout"],
)
def test_how_a_run_ended_is_said_in_the_protocol(modules: Path, how: str, last: dict[str, str]) -> None:
    """Whoever is not told would take the half for the whole."""
    going_on = asyncio.Event()

    async def half() -> AsyncGenerator[Any, None]:
        yield "text", "Half"
        if how == "error":
            raise LookupError("no more words")
        going_on.set()
        await asyncio.Event().wait()

    async def main() -> dict[str, Any]:
        async with served() as site:
            started = await site.runs.start(ui_messages(half()), timeout=0.1 if how == "timeout" else None)
            if how == "cancelled":
                await going_on.wait()
                await site.runs.cancel(started.id)
            return await site.read(modules, started.id)

    seen = run(main())
    assert seen["chunks"][-1] == last
    assert "finish" not in [chunk["type"] for chunk in seen["chunks"]]
    assert seen["message"]["parts"][-1]["text"] == "Half"
    assert seen["errors"] == ([] if how == "cancelled" else [f"Error: {how}"])


def test_an_answer_is_read_while_it_is_made() -> None:
    """What is there comes at once, `[DONE]` comes behind the end, and nothing of the run's own events."""
    rest = asyncio.Event()

    async def slow() -> AsyncGenerator[Any, None]:
        yield "text", "A"
        await rest.wait()
        yield "text", "B"

    async def main() -> None:
        async with Runs(Hub("memory://")) as runs:
            started = await runs.start(ui_messages(slow()))
            async with open_stream(Site(runs).app, f"/runs/{started.id}") as stream:
                assert stream.headers["x-vercel-ai-ui-message-stream"] == "v1"
                types = [json.loads((await stream.next_event()).data)["type"] for _ in range(4)]
                assert types == ["start", "start-step", "text-start", "text-delta"]
                rest.set()
                data = [event.data for event in await stream.until_end()]
        assert [json.loads(chunk)["type"] for chunk in data[:-1]] == ["text-delta", "text-end", "finish-step", "finish"]
        assert data[-1] == "[DONE]"

    run(main())


def test_a_stream_that_ends_before_its_run_says_so() -> None:
    """As an error without `[DONE]`: the SDK has no other way to know."""

    async def main() -> None:
        async with Runs(Hub("memory://")) as runs:
            started = await runs.start(ui_messages(forever()))

            async def app(scope: Any, receive: Any, send: Any) -> None:
                response = started.response(Request(scope), max_age=0.05)
                await ui_message_response(response)(scope, receive, send)

            async with open_stream(app) as stream:
                events = await stream.until_end()
        assert events[-1].event == "stream-end"
        assert json.loads(events[-1].data) == {"type": "error", "errorText": "max_age"}
        assert "[DONE]" not in [event.data for event in events]

    async def forever() -> AsyncGenerator[Any, None]:
        yield "text", "A"
        await asyncio.Event().wait()

    run(main())


def test_what_is_no_run_is_returned_as_it_is() -> None:
    """A 404 is a 404."""
    response = PlainTextResponse("There is no such run.", 404)
    assert ui_message_response(response) is response
    assert "x-vercel-ai-ui-message-stream" not in response.headers
