"""One HTTP exchange in memory: the part of a server and its socket between an application and a client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from unbroken.testing.waiting import Changes

__all__ = ["ASGIApp", "ClientGoneError", "Connection", "LoopStarvedError", "Message", "Receive", "Scope", "Send"]

# Any: what ASGI itself leaves open.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_DISCARDED_IN_TURN: Final = 10_000


class ClientGoneError(OSError):
    """What `send` raises after the client has left, where ASGI 2.4 is followed."""


class LoopStarvedError(AssertionError):
    """The application sends to a client that has left, and never lets the event loop run.

    Under today's servers that is an endless loop: `send` returns silently without suspending,
    and the task that would tell of the disconnect gets no turn. Here, too, nothing else could
    run, no deadline could pass; so it is raised out of `send`.
    """


class Connection:
    """The `receive` and `send` of one request, with a client at the other end that reads, freezes or leaves.

    It does what was measured of the servers of today: `send` returns without suspending
    while there is room, suspends when there is none, and says nothing after the client has
    left; `receive` gives the request once and then waits for the end of the exchange.

    Args:
        body: The request's body.
        send_raises: After the client has left, `send` raises `OSError`, as ASGI 2.4 asks of
            a server, instead of returning silently.
        buffer_messages: ASGI messages that `send` takes without waiting for the client.
        max_received_bytes: The client stops reading when it has more of the response's body.
    """

    def __init__(self, body: bytes, *, send_raises: bool, buffer_messages: int, max_received_bytes: int) -> None:
        self.changes = Changes()
        self.status: int | None = None
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.received = bytearray()
        self.complete = False
        self.disconnected = False
        self.frozen = False
        self._body: bytes | None = body
        self._send_raises = send_raises
        self._buffer_messages = buffer_messages
        self._max_received_bytes = max_received_bytes
        self._sent: deque[Message] = deque()
        self._discarded_in_turn = 0
        self._taking: asyncio.Handle | None = None
        self._response_started = False
        self._response_complete = False

    @property
    def headers(self) -> dict[str, str]:
        """The response's headers, names in lower case; the values of a repeated one are joined by a comma."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.raw_headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    @property
    def drained(self) -> bool:
        """Whether the client has everything that was sent."""
        return not self._sent

    @property
    def overflowed(self) -> bool:
        """Whether the client stopped reading because it was sent too much."""
        return len(self.received) > self._max_received_bytes

    async def receive(self) -> Message:
        """Give the application the request, and after it, when the exchange is over, the disconnect."""
        if self._body is not None and not self.disconnected:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.changes.until(lambda: self.disconnected or self._response_complete)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take an ASGI message of the application; suspends while the client is too far behind.

        Raises:
            RuntimeError: The message breaks the order that ASGI prescribes.
            ClientGoneError: The client has left, and this connection tells so.
        """
        if not self.disconnected:
            self._check(message)
            self._sent.append(message)
            self._take_soon()
            await self.changes.until(lambda: self.disconnected or len(self._sent) <= self._buffer_messages)
        # Asked again: the client may have left while this was suspended.
        if self.disconnected:
            self._discard()

    def disconnect(self) -> None:
        """Let the client leave; what it had not read is lost."""
        self.disconnected = True
        self._sent.clear()
        self.changes.notify()

    def freeze(self) -> None:
        """Let the client stop reading, with the connection left open."""
        self.frozen = True

    def thaw(self) -> None:
        """Let the client read on."""
        self.frozen = False
        self._take_soon()

    def _discard(self) -> None:
        if self._send_raises:
            raise ClientGoneError("the client has disconnected")
        if self._discarded_in_turn == 0:
            asyncio.get_running_loop().call_soon(self._count_anew)
        self._discarded_in_turn += 1
        if self._discarded_in_turn > MAX_DISCARDED_IN_TURN:
            raise LoopStarvedError(
                f"the application sent {MAX_DISCARDED_IN_TURN} messages after the client had left without letting "
                "the event loop run once; let it await something that suspends, asyncio.sleep(0) at the least"
            )

    def _count_anew(self) -> None:
        self._discarded_in_turn = 0

    def _check(self, message: Message) -> None:
        kind = message["type"]
        if self._response_complete:
            raise RuntimeError(f"{kind!r} was sent after the response was complete")
        if kind == "http.response.start" and not self._response_started:
            self._response_started = True
        elif kind == "http.response.body" and self._response_started:
            self._response_complete = not message.get("more_body", False)
        else:
            raise RuntimeError(f"{kind!r} cannot be sent {'after' if self._response_started else 'before'} the start")
        self.changes.notify()

    def _take_soon(self) -> None:
        # The client reads when the loop comes round to it and not within `send`: an application
        # that never suspends starves it, as it would starve a real server.
        if self._taking is None and self._sent and not self.frozen:
            self._taking = asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._taking = None
        while self._sent and not self.frozen:
            self._take_one(self._sent.popleft())
        self.changes.notify()

    def _take_one(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.raw_headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            return
        self.received += message.get("body", b"")
        self.complete = not message.get("more_body", False)
        self.frozen = self.frozen or self.overflowed
