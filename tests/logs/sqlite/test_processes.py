"""Several processes, one file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs.sqlite.running import appender, opened
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything

FORKER = Path(__file__).with_name("forker.py")


def lines(process: subprocess.Popen[str]) -> list[int]:
    """Wait for the process to end, and return each `seq` that it was told."""
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return [int(line) for line in output.split()]


def test_two_processes_make_one_history(tmp_path: Path) -> None:
    """Of two processes that append at once each entry is there once, in one dense and linked history."""
    url = f"sqlite:///{tmp_path}/events.db"
    with appender(url, 150) as one, appender(url, 150) as other:
        acknowledged = lines(one) + lines(other)
    assert sorted(acknowledged) == list(range(2, 602, 2))

    async def check() -> None:
        async with opened(url) as (log, _):
            entries = await everything(log, "t")
            check_links(entries, first=1)
            assert len(entries) == 600

    asyncio.run(check())


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_a_kill_loses_nothing_acknowledged(tmp_path: Path, synchronous: str) -> None:
    """What a process was told is there after SIGKILL hit it in the middle of appending; half a batch never is."""
    url = f"sqlite:///{tmp_path}/events.db?synchronous={synchronous}"
    with appender(url, 0, 2000) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(100)]
        process.kill()
        seen += [int(line) for line in process.stdout.read().split("\n")[:-1]]

    async def check() -> None:
        async with opened(url) as (log, _):
            entries = await everything(log, "t")
            check_links(entries, first=1)
            assert len(entries) >= seen[-1]
            assert len(entries) % 2 == 0

    asyncio.run(check())


def test_another_process_is_heard(tmp_path: Path) -> None:
    """All that another process appends is told, once, though this one appends too, and nothing is in doubt."""
    url = f"sqlite:///{tmp_path}/events.db?synchronous=normal"

    async def scenario() -> None:
        async with opened(url) as (log, listener):
            await log.watch("t")
            with appender(url, 100) as process:
                for _ in range(20):
                    await log.append("t", drafts(b"mine"))
                    await log.append("unwatched", drafts(b"mine"))
                    await asyncio.sleep(0.001)
                await listener.until(lambda: len(listener.entries("t")) == 220, "all entries of both")
                process.wait(10)
            told = [entry.seq for _, _, entries, _ in listener.told for entry in entries]
            assert sorted(told) == list(range(1, 221))
            assert listener.doubts == []

    asyncio.run(scenario())


def test_who_is_far_behind_is_in_doubt(tmp_path: Path) -> None:
    """More than can be handed over at once is no flood of hints, but a doubt; what follows is told again."""
    url = f"sqlite:///{tmp_path}/events.db?synchronous=normal"

    async def scenario() -> None:
        async with opened(url) as (log, listener), opened(url) as (other, _):
            await log.watch("t")
            await other.append("t", drafts(*[b"x"] * 3000))
            await listener.until(lambda: listener.doubts == [None], "a doubt")
            await other.append("t", drafts(b"last"))
            await listener.until(lambda: list(listener.entries("t")) == [3001], "what came after")

    asyncio.run(scenario())


def test_a_fork_is_refused(tmp_path: Path) -> None:
    """In a fork of the process that opened it, each call says so at once; in its own process the log goes on."""
    assert forked("open", tmp_path) == ["child refused 4 of 4", "parent appended 1"]


def test_a_log_made_before_a_fork_opens_in_each(tmp_path: Path) -> None:
    """A log that was made and not started before the fork, as a server with workers does it, opens in each of them."""
    assert forked("made", tmp_path) == ["child appended 1", "parent appended 2"]


def forked(how: str, tmp_path: Path) -> list[str]:
    """Run the program that forks, and return what it printed. Not here: a fork of a process with threads may hang."""
    arguments = [sys.executable, "-W", "ignore", str(FORKER), how, f"sqlite:///{tmp_path}/events.db"]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    return done.stdout.splitlines()
