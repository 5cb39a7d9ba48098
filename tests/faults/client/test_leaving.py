"""Leaving: from another thread or task, by Ctrl-C, by cancellation, while it connects, reads or waits."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unbroken.client import EventSource, StateChange, SyncEventSource
from unbroken.errors import ConfigurationError

from .origin import UNTIL_CLOSE, Answer, Exchange, Origin, answering, event, refusing, streaming

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 10.0

SILENT = streaming(begin=b"", end="hold")
HELD = streaming(event(1), end="hold")
BUSY = refusing("503 Busy", {"Retry-After": "60"})


def until(condition: Callable[[], bool]) -> None:
    """Wait for a state of the client, from a thread."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def alone() -> None:
    """Wait until there is no other task: the HTTP library leaves generators to the loop, which closes them in turns."""
    async with asyncio.timeout(DEADLINE):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)


WAITS: dict[str, tuple[tuple[Answer, ...], list[str]]] = {
    "for-the-first-answer": ((SILENT,), []),
    "for-the-first-attempt": ((BUSY,), []),
    "for-an-event": ((HELD,), ["1"]),
    "for-a-later-answer": ((streaming(event(1)), SILENT), ["1"]),
    "for-a-later-attempt": ((streaming(event(1)), BUSY), ["1"]),
}
"""What a client waits for when it is closed, and what it has read until then."""
waits = pytest.mark.parametrize(("answers", "expected"), WAITS.values(), ids=WAITS)


@waits
def test_close_from_another_thread(answers: tuple[Answer, ...], expected: list[str]) -> None:
    """Iterating ends without an error, whatever it waits for; so does entering."""
    states = list[StateChange]()
    seen = list[str]()

    def follow(source: SyncEventSource) -> None:
        with source as events:
            seen.extend(event.data for event in events)

    with answering(*answers) as origin:
        source = SyncEventSource(origin.url, reconnect_delay=0, on_state=states.append)
        thread = threading.Thread(target=follow, args=(source,))
        thread.start()
        try:
            arrived(origin, answers, states, lambda: seen == expected)
        finally:
            source.close()
            source.close()
            thread.join(DEADLINE)
        assert not thread.is_alive()
    assert (seen, source.ready_state, states[-1].state) == (expected, "closed", "closed")


def arrived(origin: Origin, answers: tuple[Answer, ...], states: list[StateChange], done: Callable[[], bool]) -> None:
    """Wait until the last of the answers is given, and where it is a refusal until it is understood."""
    until(lambda: len(origin.requests) == len(answers) and done())
    if answers[-1] is BUSY:
        until(lambda: any(change.delay == 60 for change in states))


@waits
def test_aclose_from_another_task(answers: tuple[Answer, ...], expected: list[str]) -> None:
    """As above."""

    async def main(origin: Origin) -> None:
        states, seen = list[StateChange](), list[str]()
        source = EventSource(origin.url, reconnect_delay=0, on_state=states.append)

        async def follow() -> None:
            async with source as events:
                async for event in events:
                    seen.append(event.data)

        task = asyncio.create_task(follow())
        await asyncio.to_thread(arrived, origin, answers, states, lambda: seen == expected)
        await source.aclose()
        await source.aclose()
        await asyncio.wait_for(task, DEADLINE)
        assert (seen, source.ready_state, states[-1].state) == (expected, "closed", "closed")
        await alone()

    with answering(*answers) as origin:
        asyncio.run(main(origin))


@waits
def test_cancellation_disconnects(answers: tuple[Answer, ...], expected: list[str]) -> None:
    """Whatever a task waits for inside `async with`, its cancellation leaves no task and no connection."""

    async def main(origin: Origin) -> None:
        states, seen = list[StateChange](), list[str]()

        async def follow() -> None:
            async with EventSource(origin.url, reconnect_delay=0, on_state=states.append) as events:
                async for event in events:
                    seen.append(event.data)

        task = asyncio.create_task(follow())
        await asyncio.to_thread(arrived, origin, answers, states, lambda: seen == expected)
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE)
        assert (task.cancelled(), seen) == (True, expected)
        await alone()

    with answering(*answers) as origin:
        asyncio.run(main(origin))
        if answers[-1] is not BUSY:
            assert origin.left.acquire(timeout=DEADLINE)


def test_close_inside_on_state() -> None:
    """A program may decide there that it is enough."""

    def enough(change: StateChange) -> None:
        if change.delay is not None:
            source.close()

    with answering(streaming(event(1)), BUSY) as origin:
        source = SyncEventSource(origin.url, on_state=enough)
        with source as events:
            assert [event.data for event in events] == ["1"]


def test_aclose_inside_on_state() -> None:
    """As above."""

    async def main(origin: Origin) -> None:
        async def enough(change: StateChange) -> None:
            if change.delay is not None:
                await source.aclose()

        source = EventSource(origin.url, on_state=enough)
        async with source as events, asyncio.timeout(DEADLINE):
            assert [event.data async for event in events] == ["1"]

    with answering(streaming(event(1)), BUSY) as origin:
        asyncio.run(main(origin))


def test_what_on_state_raises() -> None:
    """It is raised to the program, and nothing stays open."""

    def fail(change: StateChange) -> None:
        raise KeyError(change.state)

    async def main(origin: Origin) -> None:
        with pytest.raises(KeyError):
            async with EventSource(origin.url, on_state=fail):
                pass
        await alone()

    with answering(HELD) as origin:
        with pytest.raises(KeyError), SyncEventSource(origin.url, on_state=fail):
            pass
        assert origin.left.acquire(timeout=DEADLINE)
        asyncio.run(main(origin))
        assert origin.left.acquire(timeout=DEADLINE)


def test_before_and_after() -> None:
    """Closing before entering does nothing, reading before it is refused, and reading after it is at its end."""

    async def main(origin: Origin) -> None:
        source = EventSource(origin.url)
        await source.aclose()
        with pytest.raises(ConfigurationError):
            await anext(source)
        async with source:
            pass
        assert [event async for event in source] == []

    with answering(HELD) as origin:
        source = SyncEventSource(origin.url)
        source.close()
        with pytest.raises(ConfigurationError):
            next(source)
        with source:
            pass
        assert list(source) == []
        asyncio.run(main(origin))


def test_the_place_after_leaving_early() -> None:
    """It is behind the last event that the program took, not behind those that had come."""
    many = streaming(b"".join(event(number) for number in range(1, 100)), end="hold")

    async def main(origin: Origin) -> None:
        async with EventSource(origin.url) as events:
            await anext(events)
        assert events.last_event_id == "1"

    with answering(many) as origin:
        with SyncEventSource(origin.url) as events:
            next(events)
        assert events.last_event_id == "1"
        asyncio.run(main(origin))


CTRL_C = """
import asyncio, os, sys, threading, traceback
from unbroken.client import EventSource, SyncEventSource

def sync(url):
    with SyncEventSource(url) as events:
        try:
            for event in events:
                print(event.data, flush=True)
        except KeyboardInterrupt:
            print("interrupted", events.last_event_id, flush=True)
        print(next(events).data, flush=True)

async def main(url):
    async with EventSource(url) as events:
        async for event in events:
            print(event.data, flush=True)

if sys.argv[1] == "sync":
    sync(sys.argv[2])
else:
    try:
        asyncio.run(main(sys.argv[2]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    ("kind", "expected"), [("sync", ["interrupted 1", "2"]), ("async", ["interrupted"])], ids=["sync", "async"]
)
def test_ctrl_c(kind: str, expected: list[str]) -> None:
    """It comes through while the client waits; a synchronous program may read on; nothing is left unclosed."""
    command = [sys.executable, "-W", "error", "-c", CTRL_C, kind]
    interrupted = threading.Event()

    def answer(exchange: Exchange) -> None:
        # The signal may come before the client reads: then it reads on over this connection.
        exchange.send(UNTIL_CLOSE + event(1))
        assert interrupted.wait(DEADLINE)
        exchange.send(event(2))
        exchange.hold()

    with (
        answering(answer, streaming(event(2), end="hold")) as origin,
        subprocess.Popen([*command, origin.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n"
            process.send_signal(signal.SIGINT)
            said = process.stdout.readline()
            interrupted.set()
            rest, complaints = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert (said + rest).decode().splitlines() == expected
    assert complaints == b""


def test_a_fork_does_not_disturb_the_parent() -> None:
    """A child that ends without using the client leaves the parent's connection as it is."""
    go_on = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.send(UNTIL_CLOSE + event(1))
        assert go_on.wait(DEADLINE)
        exchange.send(event(2))

    code = """
import os, sys
from unbroken.client import SyncEventSource
with SyncEventSource(sys.argv[1], reconnect="never") as events:
    print(next(events).data, flush=True)
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    print("forked", flush=True)
    print(next(events).data, events.stats.connections, flush=True)
"""
    with (
        answering(answer) as origin,
        subprocess.Popen([sys.executable, "-c", code, origin.url], stdout=subprocess.PIPE, cwd=ROOT) as process,
    ):
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"1\n", b"forked\n"]
        go_on.set()
        assert process.stdout.read() == b"2 1\n"


def test_another_loop_is_refused() -> None:
    """An event source belongs to the loop in which it was entered: on another it says so, and does not hang."""
    with answering(HELD) as origin:
        first = asyncio.Runner()
        source = EventSource(origin.url)
        first.run(source.__aenter__())
        first.run(source.__anext__())

        async def elsewhere() -> None:
            async with asyncio.timeout(DEADLINE):
                await anext(source)

        with asyncio.Runner() as second, pytest.raises((RuntimeError, ConfigurationError), match="loop"):
            second.run(elsewhere())
        first.run(source.aclose())
        first.close()


UNCLOSED = """
import asyncio, sys
from unbroken.client import EventSource, SyncEventSource

async def main():
    events = await EventSource(sys.argv[1]).__aenter__()
    print((await anext(events)).data)
    reading = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.01)

events = SyncEventSource(sys.argv[1]).__enter__()
print(next(events).data)
asyncio.run(main())
print("ended")
"""


def test_what_was_never_closed_does_not_hold_a_program() -> None:
    """It ends, with a connection of each client still open and one of them waiting."""
    with (
        answering(HELD) as origin,
        subprocess.Popen([sys.executable, "-c", UNCLOSED, origin.url], stdout=subprocess.PIPE, cwd=ROOT) as process,
    ):
        try:
            said, _ = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        assert (said.decode().split(), process.returncode) == (["1", "1", "ended"], 0)
        assert all(origin.left.acquire(timeout=DEADLINE) for _ in range(2))
