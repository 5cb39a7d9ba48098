"""`unbroken hub stats`: what it prints, and that it makes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.hub.support import fill, on, run, topics_in, url_of
from tests.hub.support import Endpoint, opened
from unbroken import Hub
from unbroken.hub import Position, Retention


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two topics, one of them trimmed and closed, and one of the hub's own."""
    fill(tmp_path, "orders:1", *"abc")
    fill(tmp_path, "a long name", *"abcdefghijkl", close=True)
    on(tmp_path, lambda hub: hub.trim("a long name", Retention(max_events=2)))
    on(tmp_path, lambda hub: hub.revoke(user="ann"))
    return tmp_path


def test_all_topics(log: Path) -> None:
    """A line for each, sorted, and the sums; the hub's own are left out."""
    done = run(log, "stats")
    assert (done.exit_code, done.stderr) == (0, "")
    head, *lines, last = done.stdout.splitlines()
    assert head.split() == ["TOPIC", "EPOCH", "FIRST", "LAST", "EVENTS"]
    assert [line.split()[-4:] for line in lines] == [["11", "12", "2", "closed"], [lines[1].split()[1], "1", "3", "3"]]
    assert lines[0].startswith("a long name  ")
    assert last == "2 topics, 1 closed, 5 events."


def test_those_of_the_hub_itself(log: Path) -> None:
    """With `--all`."""
    assert run(log, "stats", "--all").stdout.splitlines()[1].startswith("$")
    assert run(log, "stats", "$revoked").exit_code == 0


def test_topics_by_their_names(log: Path) -> None:
    """One that is not there is said, with what may be meant, exit code 1; it is not made by that."""
    before = topics_in(log)
    done = run(log, "stats", "orders:1", "orders:2")
    assert done.exit_code == 1
    assert done.stderr == "unbroken hub stats: there is no topic 'orders:2'; there is 'orders:1'\n"
    assert done.stdout.splitlines()[-1] == "1 topic, 0 closed, 3 events."
    assert topics_in(log) == before


def test_json(log: Path) -> None:
    """The same as plain data, with the position that `tail --after` takes."""
    found = json.loads(run(log, "stats", "--json", "orders:1", "x").stdout)
    (topic,) = found["topics"]
    position = Position.parse(topic.pop("position"))
    assert position is not None
    assert topic == {
        "topic": "orders:1",
        "epoch": position.epoch,
        "first_seq": 1,
        "last_seq": 3,
        "events": 3,
        "closed": False,
    }
    assert (found["missing"], position.seq) == (["x"], 3)


def test_none_at_all(tmp_path: Path) -> None:
    """Nothing is said to be nothing."""
    on(tmp_path, lambda hub: None)
    assert run(tmp_path, "stats").stdout == "0 topics, 0 closed, 0 events.\n"


@pytest.mark.parametrize("timeout", ["inf", "nan", "61", "0"])
def test_a_time_that_is_none(log: Path, timeout: str) -> None:
    """Exit code 2: it would be waited for, and all of it."""
    done = run(log, "stats", "--readers", "--timeout", timeout)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--timeout" in done.stderr


def test_who_reads(log: Path) -> None:
    """The processes that serve say how many read each topic; the command does not count itself."""

    async def ask(*arguments: str) -> str:
        command = (sys.executable, "-m", "unbroken", "hub", "stats", "--readers", "--url", url_of(log), *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        out, error = await process.communicate()
        assert (process.returncode, error) == (0, b"")
        return out.decode()

    async def main() -> list[str]:
        async with Hub(url_of(log)) as hub, AsyncExitStack() as held:
            for topic in ("orders:1", "orders:1", "a long name"):
                await held.enter_async_context(opened(Endpoint(hub, topic)))
            return list(await asyncio.gather(ask(), ask("--json")))

    text, as_json = asyncio.run(main())
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["TOPIC", "EPOCH", "FIRST", "LAST", "EVENTS", "READERS"]
    assert [row[-1] for row in rows[2:3]] == ["2"]
    assert rows[4] == ["PROCESS", "STREAMS", "LIVE", "BEHIND"]
    assert [row[1] for row in rows[5:6]] == ["2"]
    assert rows[6] == []
    (process,) = json.loads(as_json)["processes"]
    assert process["subscribers"] == {"orders:1": 2, "a long name": 0}
    assert process["stats"]["subscribers"] == 2
