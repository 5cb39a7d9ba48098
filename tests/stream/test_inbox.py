"""A server's `receive` that an application and its stream both listen to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from tests.stream.guarding import no_other_tasks
from unbroken.stream.inbox import READ_AHEAD_BYTES, Inbox

pytestmark = pytest.mark.core

DISCONNECT = {"type": "http.disconnect"}


def part(body: bytes, more_body: bool = True) -> dict[str, Any]:
    """Return a message with a part of the request's body."""
    return {"type": "http.request", "body": body, "more_body": more_body}


class Server:
    """What gives the messages: it waits when there are none, and knows who is in its `receive`."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inside: list[asyncio.Task[Any] | None] = []
        self.inbox = Inbox(self.receive)
        self.disconnects = 0
        for message in messages:
            self.messages.put_nowait(message)

    async def receive(self) -> Any:
        """Give the next message, to one at a time."""
        assert not self.inside, "two are in the server's receive"
        self.inside.append(asyncio.current_task())
        try:
            return await self.messages.get()
        finally:
            self.inside.clear()

    def listen(self) -> None:
        """Begin the stream."""
        self.inbox.listen(self.left)

    def left(self) -> None:
        """Do what a stream does when it hears that its client has left."""
        self.disconnects += 1
        self.inbox.close()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test, at whose end no task may be left."""

    async def whole() -> None:
        await main()
        await no_other_tasks()

    asyncio.run(whole())


async def turns(count: int = 5) -> None:
    """Let the others have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_before_the_stream_an_application_has_the_server_s_own() -> None:
    """In its own task, since a middleware's `receive` may have a scope open that is bound to that."""

    async def main() -> None:
        server = Server()
        waiting = asyncio.ensure_future(server.inbox.receive())
        await turns()
        assert server.inside == [waiting]
        server.messages.put_nowait(part(b"x"))
        assert await waiting == part(b"x")
        server.messages.put_nowait(DISCONNECT)
        assert await server.inbox.receive() == DISCONNECT
        assert server.inbox.told

    run(main)


def test_what_is_heard_meanwhile_is_kept_in_order() -> None:
    """A body that comes while the application streams reaches it when it asks; then the disconnect, for ever."""

    async def main() -> None:
        server = Server(part(b"a"), part(b"b"))
        server.listen()
        await turns()
        server.messages.put_nowait(part(b"c", more_body=False))
        server.messages.put_nowait(DISCONNECT)
        await turns()
        assert server.disconnects == 1
        assert not server.inbox.told
        received = [await server.inbox.receive() for _ in range(6)]
        assert received == [part(b"a"), part(b"b"), part(b"c", more_body=False), *[DISCONNECT] * 3]
        assert server.inbox.told

    run(main)


def test_an_application_may_wait_while_the_stream_listens() -> None:
    """It gets each part as it comes, and the disconnect as soon as it comes."""

    async def main() -> None:
        server = Server()
        server.listen()
        for body in (b"a", b"b"):
            waiting = asyncio.ensure_future(server.inbox.receive())
            await turns()
            server.messages.put_nowait(part(body))
            assert await waiting == part(body)
        waiting = asyncio.ensure_future(server.inbox.receive())
        await turns()
        server.messages.put_nowait(DISCONNECT)
        assert await waiting == DISCONNECT

    run(main)


def test_no_more_is_read_ahead_than_the_bound() -> None:
    """A body that nobody takes waits in the server, whose own flow control then holds its client back."""

    async def main() -> None:
        parts = [part(b"x" * (READ_AHEAD_BYTES // 4)) for _ in range(12)]
        server = Server(*parts)
        server.listen()
        await turns(50)
        assert server.messages.qsize() == len(parts) - 5  # the fifth was over it
        assert await server.inbox.receive() == parts[0]
        assert await server.inbox.receive() == parts[1]
        await turns(50)
        assert server.messages.qsize() == len(parts) - 7
        for number in range(2, len(parts)):
            assert await server.inbox.receive() == parts[number]
        server.messages.put_nowait(DISCONNECT)
        assert await server.inbox.receive() == DISCONNECT
        assert server.disconnects == 1

    run(main)


def test_whoever_waited_before_the_stream_began_listens_for_both() -> None:
    """A server's `receive` is not made for two at once; what comes by the application's tells the stream too."""

    async def main() -> None:
        server = Server()
        waiting = asyncio.ensure_future(server.inbox.receive())
        await turns()
        server.listen()
        await turns()
        assert server.inside == [waiting]
        server.messages.put_nowait(DISCONNECT)
        assert await waiting == DISCONNECT
        assert server.disconnects == 1

    run(main)


@pytest.mark.parametrize("leaves", ["with a message", "cancelled"])
def test_when_the_application_stops_waiting_the_stream_goes_on(leaves: str) -> None:
    """One that took a message, or was cancelled by a scope of its own, is followed by a listener of the stream's."""

    async def main() -> None:
        server = Server()
        waiting = asyncio.ensure_future(server.inbox.receive())
        await turns()
        server.listen()
        if leaves == "cancelled":
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
        else:
            server.messages.put_nowait(part(b"x"))
            assert await waiting == part(b"x")
        await turns()
        server.messages.put_nowait(part(b"y"))
        server.messages.put_nowait(DISCONNECT)
        await turns()
        assert server.disconnects == 1
        assert await server.inbox.receive() == part(b"y")
        assert await server.inbox.receive() == DISCONNECT

    run(main)


def test_who_waits_is_told_of_an_end_that_the_server_does_not_know_of() -> None:
    """The stream's own end interrupts the server's `receive`; the cancellation that takes is taken back."""
    cancelling: list[int] = []

    async def main() -> None:
        server = Server()

        async def application() -> list[Any]:
            task = asyncio.current_task()
            assert task is not None
            received = []
            for _ in range(3):
                received.append(await server.inbox.receive())
                cancelling.append(task.cancelling())
            return received

        waiting = asyncio.create_task(application())
        await turns()
        server.listen()
        server.inbox.close()
        assert await waiting == [DISCONNECT] * 3
        assert server.disconnects == 0

    run(main)
    assert cancelling == [0, 0, 0]


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_cancellation_from_outside_at_the_same_moment_stays_one(first: str) -> None:
    """Whichever came first, the interruption does not swallow it."""

    async def main() -> None:
        server = Server()
        waiting = asyncio.ensure_future(server.inbox.receive())
        await turns()
        server.listen()
        (server.inbox.close if first == "ours" else waiting.cancel)()
        (server.inbox.close if first == "theirs" else waiting.cancel)()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    run(main)


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_scope_that_is_cancelled_at_the_same_moment_knows_its_own(first: str) -> None:
    """An anyio scope around the application's `receive` swallows its cancellation, and nothing is left of ours."""

    async def main() -> None:
        server = Server()
        left: list[int] = []

        async def application() -> None:
            task = asyncio.current_task()
            assert task is not None
            with scope:
                await server.inbox.receive()
                await anyio.sleep(3600)
            left.append(task.cancelling())

        scope = anyio.CancelScope()
        waiting = asyncio.create_task(application())
        await turns()
        server.listen()
        (server.inbox.close if first == "ours" else scope.cancel)()
        (server.inbox.close if first == "theirs" else scope.cancel)()
        await waiting
        assert scope.cancelled_caught
        assert left == [0]

    run(main)


def test_an_interruption_that_a_middleware_swallows_is_taken_back_too() -> None:
    """A `receive` that returns all the same leaves no cancellation in the application's task."""

    async def main() -> None:
        async def stubborn() -> dict[str, Any]:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return part(b"x")
            raise AssertionError

        async def application() -> tuple[object, int]:
            task = asyncio.current_task()
            assert task is not None
            return await inbox.receive(), task.cancelling()

        inbox = Inbox(stubborn)
        waiting = asyncio.create_task(application())
        await turns()
        inbox.listen(inbox.close)
        inbox.close()
        assert await waiting == (part(b"x"), 0)

    run(main)


def test_polling_for_the_disconnect_loses_nothing() -> None:
    """Starlette's `is_disconnected` asks in a scope that is cancelled already, before and during the stream."""

    async def main() -> None:
        server = Server()

        async def poll() -> object:
            with anyio.CancelScope() as scope:
                scope.cancel()
                return await server.inbox.receive()
            return None

        assert await poll() is None
        server.listen()
        assert await poll() is None
        await turns()
        server.messages.put_nowait(part(b"x"))
        await turns()
        assert await poll() == part(b"x")
        assert await poll() is None
        server.messages.put_nowait(DISCONNECT)
        await turns()
        assert [await poll(), await poll()] == [DISCONNECT, DISCONNECT]

    run(main)


def test_a_receive_that_fails_is_the_client_s_leaving() -> None:
    """There is nobody behind it any more."""

    async def main() -> None:
        async def broken() -> dict[str, Any]:
            raise RuntimeError("no longer")

        inbox = Inbox(broken)
        inbox.listen(inbox.close)
        assert await inbox.receive() == DISCONNECT
        assert inbox.closed

    run(main)


def test_a_disconnect_before_the_stream_counts_for_it() -> None:
    """Not every server tells it twice."""

    async def main() -> None:
        server = Server(DISCONNECT)
        assert await server.inbox.receive() == DISCONNECT
        server.listen()
        assert server.disconnects == 1
        await turns()
        assert server.inside == []

    run(main)


def test_nobody_listens_behind_a_disconnect() -> None:
    """A stream that makes nothing of it, since it is ending, does not ask the server again."""

    async def main() -> None:
        server = Server()
        waiting = asyncio.ensure_future(server.inbox.receive())
        await turns()
        server.inbox.listen(lambda: None)
        server.messages.put_nowait(DISCONNECT)
        assert await waiting == DISCONNECT
        await turns()
        assert server.inside == []

    run(main)


def test_closing_ends_the_listening() -> None:
    """What was heard before is still there; nothing is heard any more, and closing again changes nothing."""

    async def main() -> None:
        server = Server(part(b"x"))
        server.listen()
        await turns()
        server.inbox.close()
        server.inbox.close()
        await turns()
        assert server.inside == []
        assert await server.inbox.receive() == part(b"x")
        assert await server.inbox.receive() == DISCONNECT
        assert server.disconnects == 0

    run(main)
