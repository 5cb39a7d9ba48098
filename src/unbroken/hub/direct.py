"""Writing to a connection past ASGI, for those times when a stream writes by itself and not by a flush."""

from __future__ import annotations

import asyncio

from unbroken.servers import DirectConnection, frame_chunk
from unbroken.stream.outlet import Message

__all__ = ["DirectSend"]


class DirectSend:
    """An ASGI `send` for the rest of a body, over a direct connection; it waits while the client takes too little."""

    __slots__ = ("_connection", "_room")

    def __init__(self, connection: DirectConnection) -> None:
        self._connection = connection
        self._room: asyncio.Future[None] | None = None

    async def __call__(self, message: Message) -> None:
        """Write one body message."""
        while self._connection.paused and not self._connection.is_closed():
            await self._wait()
        if message.get("more_body"):
            self._connection.write(frame_chunk(message["body"]))
        else:
            self._connection.end(frame_chunk(message["body"]))

    def resume(self) -> None:
        """Hear that there is room, or that there never will be."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _wait(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None
