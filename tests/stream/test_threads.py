"""Daemon threads for what may block for ever."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from unbroken.stream import threads
from unbroken.stream.threads import in_daemon_thread

pytestmark = pytest.mark.core

language: ContextVar[str] = ContextVar("language", default="none")


def _raise() -> None:
    raise LookupError("from the thread")


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_the_result_comes_back() -> None:
    """What the function returns is the future's result; it ran in a thread that keeps no process alive."""

    async def main() -> tuple[object, object]:
        return await in_daemon_thread(lambda word: word * 2, "ab"), await in_daemon_thread(threading.current_thread)

    result, thread = asyncio.run(main())
    assert result == "abab"
    assert isinstance(thread, threading.Thread)
    assert thread.daemon


def test_the_exception_comes_back() -> None:
    """What the function raises is raised where it is awaited."""

    async def main() -> None:
        await in_daemon_thread(_raise)

    with pytest.raises(LookupError, match="from the thread"):
        asyncio.run(main())


def test_context_variables_are_seen_and_not_changed() -> None:
    """The function sees the caller's context, and sets variables in a copy of it."""

    def change() -> str:
        seen = language.get()
        language.set("changed")
        return seen

    async def main() -> tuple[object, str]:
        language.set("English")
        return await in_daemon_thread(change), language.get()

    assert asyncio.run(main()) == ("English", "English")


def test_an_idle_thread_is_used_again() -> None:
    """Steps one after the other need no new thread each."""

    async def main() -> set[object]:
        return {await in_daemon_thread(threading.get_ident) for _ in range(20)}

    # The thread lines up as idle just after it has given its result: now and then a second one is started.
    assert len(asyncio.run(main())) < 20


def test_an_idle_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread with nothing to do goes away after a while."""
    monkeypatch.setattr(threads, "MAX_IDLE_TIME", 0.01)
    monkeypatch.setattr(threads, "_pool", threads._Pool())

    async def main() -> object:
        return await in_daemon_thread(threading.current_thread)

    thread = asyncio.run(main())
    assert isinstance(thread, threading.Thread)
    thread.join(10)
    assert not thread.is_alive()


def test_a_cancelled_wait_leaves_the_thread_at_its_work() -> None:
    """The loop goes on at once; the function runs to its end, and its result is dropped."""
    go_on, done = threading.Event(), threading.Event()

    def block() -> None:
        go_on.wait(10)
        done.set()

    async def main() -> None:
        task = asyncio.ensure_future(in_daemon_thread(block))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not done.is_set()

    asyncio.run(main())
    go_on.set()
    assert done.wait(10)


def test_a_thread_that_blocks_for_ever_does_not_keep_the_process() -> None:
    """A loop with such a thread is left, and the interpreter exits with its code."""
    done = _run(
        "import asyncio, sys, threading\n"
        "from unbroken.stream.threads import in_daemon_thread\n"
        "async def main():\n"
        "    in_daemon_thread(threading.Event().wait)\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
        "sys.exit(7)\n"
    )
    assert done.returncode == 7, done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_starts_threads_of_its_own() -> None:
    """A child does not wait for its parent's idle threads, of which it has only the list."""
    done = _run(
        "import asyncio, os, sys, time, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from unbroken.stream import threads\n"
        "async def main():\n"
        "    return await asyncio.wait_for(threads.in_daemon_thread(lambda: 5), 10)\n"
        "asyncio.run(main())\n"
        "while not threads._pool._idle: time.sleep(0.01)\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(asyncio.run(main()))\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert done.returncode == 5, done.stderr


def test_many_at_once() -> None:
    """As many run side by side as are asked for: the bound is the caller's."""
    barrier = threading.Barrier(20)

    async def main() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(in_daemon_thread(barrier.wait) for _ in range(20)))

    asyncio.run(main())
    assert not barrier.broken
