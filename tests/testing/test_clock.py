from __future__ import annotations

import asyncio
import socket
import threading
import time
import warnings

import anyio
import anyio.to_thread
import pytest

from unbroken.testing import VirtualClock, run_with_virtual_clock

pytestmark = pytest.mark.core


def test_sleeping_an_hour_takes_no_time() -> None:
    """Time jumps to the next timer when nothing else is left to do."""
    clock = VirtualClock()
    began = time.monotonic()

    clock.run(asyncio.sleep(3600))

    assert clock.time() == 3600
    assert time.monotonic() - began < 60


def test_timers_run_in_order_each_at_its_own_time() -> None:
    """No jump skips a timer: every one sees the very time it was set for."""

    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def tick(name: str, interval: float) -> None:
            for _ in range(3):
                await asyncio.sleep(interval)
                seen.append((name, asyncio.get_running_loop().time()))

        await asyncio.gather(tick("slow", 20.0), tick("fast", 15.0))
        return seen

    assert run_with_virtual_clock(main()) == [
        ("fast", 15),
        ("slow", 20),
        ("fast", 30),
        ("slow", 40),
        ("fast", 45),
        ("slow", 60),
    ]


def test_time_stands_still_while_something_is_ready() -> None:
    """A task that never waits for time does not make any pass."""

    async def main() -> float:
        timer = asyncio.create_task(asyncio.sleep(1))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not timer.done()
        return asyncio.get_running_loop().time()

    assert run_with_virtual_clock(main()) == 0


def test_deadlines_are_virtual() -> None:
    """Both asyncio's and anyio's deadlines come at their virtual second."""

    async def main() -> list[float]:
        loop, seen = asyncio.get_running_loop(), []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        seen.append(loop.time())
        with anyio.move_on_after(40):
            await anyio.sleep_forever()
        seen.append(loop.time())
        return seen

    assert run_with_virtual_clock(main()) == [60, 100]


def test_a_very_long_wait_is_exact() -> None:
    """A wait longer than the loop's longest poll (a day) still ends at its second."""
    clock = VirtualClock()

    clock.run(asyncio.sleep(100 * 86400))

    assert clock.time() == 100 * 86400


@pytest.mark.parametrize("to_thread", [asyncio.to_thread, anyio.to_thread.run_sync])
def test_work_in_a_thread_is_not_overtaken(to_thread: object) -> None:
    """A deadline that the work would keep in real time is kept: time does not jump over a busy thread."""
    assert callable(to_thread)

    async def main() -> float:
        async with asyncio.timeout(30):
            await to_thread(time.sleep, 0.05)
        return asyncio.get_running_loop().time()

    assert 0.04 < run_with_virtual_clock(main()) < 30


def test_time_jumps_again_after_work_in_a_thread() -> None:
    """Only work in flight holds time: afterwards an hour takes no time again."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(int)
        await anyio.to_thread.run_sync(int)
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    began = time.monotonic()
    assert run_with_virtual_clock(main()) == pytest.approx(3600)
    assert time.monotonic() - began < 60


def test_a_deadline_still_comes_while_a_thread_is_stuck() -> None:
    """Beside a busy thread time passes at its real speed, so a deadline on it comes."""
    release = threading.Event()

    async def main() -> None:
        work = asyncio.create_task(asyncio.to_thread(release.wait, 30))
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(work), 0.05)
        finally:
            release.set()
        assert await work

    run_with_virtual_clock(main())


def test_advance_passes_time_beside_a_busy_thread() -> None:
    """`advance` makes a timer due at once, which is how a heartbeat is tested while a thread blocks."""
    clock, release = VirtualClock(), threading.Event()

    async def main() -> None:
        work = asyncio.create_task(asyncio.to_thread(release.wait, 30))
        heartbeat = asyncio.create_task(asyncio.sleep(15))
        await asyncio.sleep(0)
        clock.advance(15)
        try:
            await heartbeat
        finally:
            release.set()
        assert await work

    clock.run(main())
    assert 15 <= clock.time() < 30


def test_time_does_not_run_backwards() -> None:
    """A negative `advance` is refused, and says what it was given."""
    with pytest.raises(ValueError, match=r"backwards: advance\(-1\)"):
        VirtualClock().advance(-1)


def test_hold_keeps_time_for_a_thread_of_ones_own() -> None:
    """Inside `hold` a call from a thread that the clock cannot see comes before a timer far away."""
    clock = VirtualClock()

    async def main() -> list[str]:
        loop, order, done = asyncio.get_running_loop(), list[str](), asyncio.Event()

        def answer() -> None:
            time.sleep(0.05)
            loop.call_soon_threadsafe(order.append, "thread")
            loop.call_soon_threadsafe(done.set)

        loop.call_later(20, order.append, "timer")
        thread = threading.Thread(target=answer)
        with clock.hold():
            thread.start()
            await done.wait()
        thread.join()
        await asyncio.sleep(20)
        return order

    assert clock.run(main()) == ["thread", "timer"]


def test_a_thread_of_ones_own_wakes_a_loop_without_timers() -> None:
    """With no timer to jump to, the loop waits for whatever comes from outside."""

    async def main() -> str:
        loop, answer = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        thread = threading.Timer(0.05, loop.call_soon_threadsafe, (answer.set_result, "came"))
        thread.start()
        try:
            return str(await answer)
        finally:
            thread.join()

    assert run_with_virtual_clock(main()) == "came"


def test_sockets_work_and_are_heard_before_time_jumps() -> None:
    """Between two ends on loopback data arrives before a far timer, many times over."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with await asyncio.start_server(_echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(3600):
                for number in range(20):
                    writer.write(b"%d\n" % number)
                    assert await reader.readline() == b"%d\n" % number
            writer.close()
            await writer.wait_closed()
        return loop.time()

    assert run_with_virtual_clock(main()) < 3600


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()
    await writer.wait_closed()


def test_io_grace_waits_for_a_peer_outside_of_the_loop() -> None:
    """A longer `io_grace` lets a peer in another thread answer before a timer far away."""
    ours, theirs = socket.socketpair()

    def peer() -> None:
        theirs.sendall(theirs.recv(5))

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(3600):
            writer.write(b"hello")
            answer = await reader.readexactly(5)
        assert loop.time() == 0
        writer.close()
        await writer.wait_closed()
        return answer

    thread = threading.Thread(target=peer)
    thread.start()
    with theirs:
        assert VirtualClock(io_grace=30).run(main()) == b"hello"
        thread.join()


def test_the_end_waits_for_the_threads() -> None:
    """Closing the loop joins its threads in real time: no jump over the deadline, no warning."""
    finished = threading.Event()

    def slow() -> None:
        time.sleep(0.05)
        finished.set()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, slow)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_with_virtual_clock(main())
    assert finished.is_set()


def test_what_main_raises_comes_out() -> None:
    """A failing assertion of the test itself is not lost."""

    async def main() -> None:
        await asyncio.sleep(15)
        raise LookupError("from the test")

    with pytest.raises(LookupError, match="from the test"):
        run_with_virtual_clock(main())
