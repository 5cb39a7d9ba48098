"""The same generator behind two responses. The page shows this code, read from this file."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse

from unbroken import EventSourceResponse, while_connected
from unbroken.cli.demo.story import Story

__all__ = ["RESPONSES", "sources"]

CORS = {"Access-Control-Allow-Origin": "*"}
"""The page's stream comes through a hop, which is another port and so another origin."""

SETUP: dict[str, Any] = {
    "headers": CORS,
    # It works by the listening socket, which the endpoint without unbroken shares: that would be helped as well.
    "dead_peer_timeout": None,
}


async def events(story: Story) -> AsyncIterator[bytes]:
    """Tell a story that may be cut short."""
    try:
        async with while_connected():
            async for word in story:
                yield word
    except ConnectionResetError as gone:
        story.saw(gone)
    finally:
        await story.put_away()


def with_unbroken(story: Story) -> Response:
    """Return what a route returns."""
    return EventSourceResponse(
        events(story),
        heartbeat=1.0,
        heartbeat_event="heartbeat",
        send_timeout=2.0,
        max_age=story.max_age,
        on_close=story.line.close,
        **SETUP,
    )


async def events_alone(story: Story) -> AsyncIterator[bytes]:
    """Tell the same story without help."""
    try:
        async for word in story:
            yield word
    except ConnectionResetError as gone:
        story.saw(gone)
    finally:
        await story.put_away()


def without_unbroken(story: Story) -> Response:
    """Return what Starlette offers."""
    return StreamingResponse(
        events_alone(story),
        media_type="text/event-stream",
        headers=CORS,
    )


RESPONSES = {"unbroken": with_unbroken, "starlette": without_unbroken}


def sources() -> dict[str, list[str]]:
    """Return the code of each endpoint: its generator, and its response."""
    parts: dict[str, list[Callable[..., object]]] = {
        "unbroken": [events, with_unbroken],
        "starlette": [events_alone, without_unbroken],
    }
    return {through: [inspect.getsource(part) for part in functions] for through, functions in parts.items()}
