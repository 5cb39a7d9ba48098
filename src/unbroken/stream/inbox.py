"""The server's `receive` for two who want to hear: an application, and the stream that it is sending.

On today's servers a client's leaving shows nowhere else, so the stream must always
listen. The application may, too, and must get its request's body; a server's
`receive` is not made for two at once. While the application waits in it, it listens
for both; else a task of the stream's does, and keeps for the application what it hears.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from unbroken.observe import logger
from unbroken.stream.exchange import Receive
from unbroken.stream.outlet import Message

__all__ = ["Inbox"]

READ_AHEAD_BYTES = 64 * 1024
"""What is kept of a request's body that the application does not take; a client's leaving is not heard behind it."""

OnDisconnect = Callable[[], None]


class Inbox:
    """Messages of one request. To be used on its event loop only."""

    # Defaults of the class, and no slots: most requests are no streams, and set nothing but the first.
    _waiting: tuple[asyncio.Task[Any], ...] = ()  # the application's tasks in the server's receive
    _interrupted: tuple[asyncio.Task[Any], ...] = ()
    _on_disconnect: OnDisconnect | None = None
    _listener: asyncio.Task[None] | None = None
    _messages: deque[Message] | None = None
    _body_bytes = 0
    _changed: asyncio.Future[None] | None = None
    _expecting = 0  # the application's tasks that wait for what is kept
    _telling = False
    closed = False
    told = False
    """Whether the application has been given an `http.disconnect`."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    def receive(self) -> Awaitable[Message]:
        """Return the next message; what the application is given in place of the server's `receive`."""
        return self._direct() if self._on_disconnect is None and not self.closed else self._kept()

    async def _kept(self) -> Message:
        """Wait for what the stream's own listener has heard."""
        while not self.closed or self._messages:
            if self._messages:
                return self._take()
            self._expecting += 1
            try:
                await self._change()
            finally:
                self._expecting -= 1
        return self._disconnect()

    @property
    def is_heard(self) -> bool:
        """Whether the application waits for a message now, or is just being given the `http.disconnect`."""
        return bool(self._waiting or self._expecting or self._telling)

    def listen(self, on_disconnect: OnDisconnect) -> None:
        """Call `on_disconnect` when the client leaves, from now on."""
        self._on_disconnect = on_disconnect
        if self.told:
            on_disconnect()  # the client had left before, and not every server says so twice
        self._see_that_somebody_listens()

    def close(self) -> None:
        """Tell the application that its client is gone, wherever it waits, and listen no more."""
        if self.closed:
            return
        self.closed = True
        if self._listener is not None:
            self._listener.cancel()
        for task in self._waiting:
            self._interrupted += (task,)
            task.cancel()
        self._tell_change()

    async def _direct(self) -> Message:
        """Let the application wait in the server's own receive: in its task, since scopes in there are bound to it."""
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        self._waiting += (task,)
        try:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.told = True
        except asyncio.CancelledError:
            if not self._was_interrupted(task, cancelling):
                raise
            return self._disconnect()
        else:
            self._was_interrupted(task, cancelling)  # in vain, if a middleware's receive swallowed it
        finally:
            self._waiting = () if len(self._waiting) == 1 else _without(self._waiting, task)
            self._see_that_somebody_listens()
        if self.told:
            self._telling = True
            self._left()
            self._telling = False
        return message

    def _was_interrupted(self, task: asyncio.Task[Any], cancelling: int) -> bool:
        """Take our cancellation back, and say whether it was the only one."""
        if task not in self._interrupted:
            return False
        self._interrupted = _without(self._interrupted, task)
        return task.uncancel() <= cancelling

    def _see_that_somebody_listens(self) -> None:
        if self._on_disconnect is not None and not (self.closed or self.told or self._waiting or self._listener):
            self._listener = asyncio.get_running_loop().create_task(self._listen(), name="unbroken listener")

    async def _listen(self) -> None:
        self._messages = deque()
        try:
            while (message := await self._receive())["type"] != "http.disconnect":
                await self._keep(message)
        except Exception as exc:  # noqa: BLE001 - a receive that fails has no client behind it any more
            logger.debug("receive() failed, taken as the client's leaving: %r", exc)
        self._left()

    async def _keep(self, message: Message) -> None:
        assert self._messages is not None
        self._messages.append(message)
        self._body_bytes += len(message.get("body", b""))
        self._tell_change()
        await asyncio.sleep(0)  # a receive that need not wait
        while self._body_bytes > READ_AHEAD_BYTES:
            await self._change()

    def _take(self) -> Message:
        assert self._messages is not None
        message = self._messages.popleft()
        self._body_bytes -= len(message.get("body", b""))
        self._tell_change()
        return message

    def _left(self) -> None:
        if self._on_disconnect is not None:
            self._on_disconnect()

    def _disconnect(self) -> Message:
        self.told = True
        return {"type": "http.disconnect"}

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _tell_change(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)


def _without(tasks: tuple[asyncio.Task[Any], ...], task: asyncio.Task[Any]) -> tuple[asyncio.Task[Any], ...]:
    return tuple(other for other in tasks if other is not task)
