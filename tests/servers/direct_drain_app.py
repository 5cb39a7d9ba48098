"""The application whose server is shut down while detached streams are open, as uvicorn and gunicorn start it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn_worker import UvicornWorker

from unbroken.servers.direct import DIRECT, frame_chunk
from unbroken.stream.drain import current_drain

__all__ = ["FAREWELL", "Worker", "app"]

FAREWELL = b"farewell " * 1000
LINGERING = 0.3
"""Seconds after the shutdown's beginning at which an owner says farewell: uvicorn has long asked its connections."""


class Worker(UvicornWorker):  # type: ignore[misc]
    """gunicorn's worker with the protocol class, as the documentation has it."""

    CONFIG_KWARGS = {  # noqa: RUF012 - as its base class has it
        **UvicornWorker.CONFIG_KWARGS, "http": "unbroken.servers.uvicorn:EventStreamProtocol",
    }  # fmt: skip


class Owner:
    """One detached stream, which is ended when its server shuts down."""

    def __init__(self, direct: Any) -> None:
        self.direct = direct

    def dismiss(self) -> None:
        asyncio.get_running_loop().call_later(LINGERING, self.direct.end, frame_chunk(FAREWELL))

    def on_paused(self) -> None: ...

    def on_resumed(self) -> None: ...

    def on_lost(self) -> None:
        current_drain().discard(self)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer "well", or detach a stream: one that is drained, or one that nobody looks after."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    headers = [(b"content-length", b"4")] if scope["path"] == "/health" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/health":
        await send({"type": "http.response.body", "body": b"well"})
        return
    owner = Owner(scope["extensions"][DIRECT])
    assert owner.direct.attach(owner)
    owner.direct.write(frame_chunk(b"open "))
    if scope["path"] == "/drained":
        current_drain().add(owner, scope, send)
    owner.direct.detach()


async def lifespan(receive: Any, send: Any) -> None:
    """Say when the application has been shut down."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan ended", flush=True)
    await send({"type": "lifespan.shutdown.complete"})
