"""What the errors of runs are as answers of an application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.runs.support import opened, run
from unbroken.errors import LogUnavailable, RunEnded, RunError, RunsClosing
from unbroken.runs import run_error_response
from unbroken.testing import open_stream


async def stay() -> Any:
    """Produce nothing, for long."""
    await asyncio.sleep(1000)
    yield ""


def test_each_error_has_its_status() -> None:
    """In the application's own routes, by one line; what is no answer stays an error of the application."""

    async def main() -> None:
        async with opened(max_per_owner=1) as runs:
            await runs.start(stay, owner="jane", group="g")
            asked: dict[str, Any] = {
                "404": lambda: runs.cancel("unknown"),
                "409": lambda: runs.start(stay, owner="jane", group="g", on_conflict="reject"),
                "429": lambda: runs.start(stay, owner="jane"),
                "503": lambda: _raise(RunsClosing("soon")),
                "away": lambda: _raise(LogUnavailable("away")),
                "fault": lambda: _raise(RunEnded("over")),
            }

            async def route(request: Request) -> Response:
                await asked[request.path_params["name"]]()
                raise AssertionError

            handlers: Any = {RunError: run_error_response, LogUnavailable: run_error_response}
            app = Starlette(routes=[Route("/{name}", route)], exception_handlers=handlers)
            for name, status in (("404", 404), ("409", 409), ("429", 429), ("503", 503), ("away", 503)):
                async with open_stream(app, f"/{name}") as stream:
                    await stream.until_end()
                    assert stream.status == status
                    assert stream.headers["cache-control"] == "no-store"
                    assert ("retry-after" in stream.headers) == (status == 503)
            with pytest.raises(RunEnded):
                async with open_stream(app, "/fault") as stream:
                    await stream.until_end()

    run(main())


async def _raise(error: Exception) -> None:
    raise error
