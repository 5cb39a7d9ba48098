"""`unbroken hub tail`: what it prints, in a pipe and at a gap, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.hub.support import fill, on, run, topics_in, url_of
from tests.hub.support import OddLog
from tests.hub.support import run as run_virtual
from unbroken.cli.hub.tailing import Tail
from unbroken.hub import Hub, Retention

DEADLINE = 20.0


def trim(folder: Path, topic: str, count: int) -> None:
    """Leave a topic's newest events."""
    on(folder, lambda hub: hub.trim(topic, Retention(max_events=count)))


def test_lines(tmp_path: Path) -> None:
    """Id, type and data; further lines of the data are indented; nothing that a terminal obeys."""
    ids = fill(tmp_path, "t", "plain", "two\nlines", "\x1b[31mred\x9b\x07")
    done = run(tmp_path, "tail", "t", "--count", "3")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{ids[0]}  message  plain",
        f"{ids[1]}  message  two",
        "    lines",
        f"{ids[2]}  message  \\x1b[31mred\\x9b\\x07",
    ]


def test_json_lines(tmp_path: Path) -> None:
    """One object in each line, from which the data comes back as it was."""
    (id_,) = fill(tmp_path, "t", "two\nlines \x1b\x9b ü")
    done = run(tmp_path, "tail", "t", "--count", "1", "--json")
    assert not set(done.stdout) & {"\x1b", "\x9b"}
    assert json.loads(done.stdout) == {"topic": "t", "id": id_, "event": "message", "data": "two\nlines \x1b\x9b ü"}


@pytest.mark.parametrize(
    ("arguments", "first"), [([], 6), (["--backlog", "3"], 13), (["--after", "earliest"], 1), (["--after", "{2}"], 4)]
)
def test_where_it_begins(tmp_path: Path, arguments: list[str], first: int) -> None:
    """The last ten as tail(1), or as many as were asked for, or all, or what comes behind an id."""
    ids = fill(tmp_path, "t", *map(str, range(1, 16)))
    given = [argument.format(*ids) for argument in arguments]
    done = run(tmp_path, "tail", "t", *given, "--count", str(16 - first))
    assert [int(line.split()[-1]) for line in done.stdout.splitlines()] == list(range(first, 16))


def test_several_topics(tmp_path: Path) -> None:
    """Each line says which; a cursor over all of them goes on behind all that was printed."""
    fill(tmp_path, "a", *"12")
    fill(tmp_path, "b", *"34")
    text = run(tmp_path, "tail", "a", "b", "--count", "4").stdout
    assert sorted((line.split()[0], line.split()[-1]) for line in text.splitlines()) == [
        *zip("aabb", "1234", strict=True)
    ]
    first = json.loads(run(tmp_path, "tail", "a", "b", "--count", "1", "--json").stdout)
    rest = run(tmp_path, "tail", "a", "b", "--after", first["cursor"], "--count", "3")
    assert first["data"] not in [line.split()[-1] for line in rest.stdout.splitlines()]
    assert (len(rest.stdout.splitlines()), rest.stderr) == (3, "")


def test_a_gap(tmp_path: Path) -> None:
    """It is said on standard error, and what is there follows; with `--json` it is a line among the others, too."""
    ids = fill(tmp_path, "t", *"abcde")
    trim(tmp_path, "t", 2)
    said = "unbroken hub tail: gap: 2 events of topic 't' (trimmed)\n"
    done = run(tmp_path, "tail", "t", "--after", ids[0], "--count", "2")
    assert (done.exit_code, done.stderr) == (0, said)
    assert [line[-1] for line in done.stdout.splitlines()] == ["d", "e"]
    done = run(tmp_path, "tail", "t", "--after", ids[0], "--count", "2", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"topic": "t", "gap": {"reason": "trimmed", "after": ids[0], "next": ids[3], "missed": 2}}
    assert [line["id"] for line in lines[1:]] == ids[3:]


def test_a_gap_with_strict(tmp_path: Path) -> None:
    """Nothing is printed behind it, and the exit code is 1."""
    ids = fill(tmp_path, "t", *"abcde")
    trim(tmp_path, "t", 2)
    done = run(tmp_path, "tail", "t", "--after", ids[0], "--strict")
    assert (done.exit_code, done.stdout) == (1, "")
    assert run(tmp_path, "tail", "t", "--after", ids[3], "--count", "1", "--strict").exit_code == 0


def test_a_closed_topic(tmp_path: Path) -> None:
    """It comes to its end by itself."""
    fill(tmp_path, "t", "a", "z", close=True)
    done = run(tmp_path, "tail", "t")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)
    assert done.stderr == "unbroken hub tail: closed: nothing more comes\n"


@pytest.mark.parametrize("after", ["nonsense", "v1.AAAA", "aa.1"])
def test_a_cursor_that_is_none(tmp_path: Path, after: str) -> None:
    """Exit code 2."""
    fill(tmp_path, "t", "a")
    done = run(tmp_path, "tail", "t", "--after", after)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is no position" in done.stderr


def test_a_topic_that_there_is_not(tmp_path: Path) -> None:
    """It is not made by a name that was typed wrongly: exit code 1."""
    fill(tmp_path, "orders:42", "a")
    done = run(tmp_path, "tail", "orders:24")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no topic 'orders:24'; there is 'orders:42'; --new makes it" in done.stderr
    assert topics_in(tmp_path) == ["orders:42"]


def test_an_engine_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, waited for, and gone on from, with nothing lost."""

    async def main() -> None:
        log = OddLog(shared=True)
        reads = 0

        async def fail(method: str, topic: str) -> None:
            nonlocal reads
            reads += method == "read"
            log.away = method == "read" and 5 <= reads <= 7

        async with Hub(log) as hub:
            await log.add("t", *map(str, range(1500)))  # of which no reader gets all by one look
            log.before = fail
            await Tail(hub.subscribe("t", after="earliest"), several=False, json=False).follow(1500, strict=True)
        assert reads > 7

    run_virtual(main())
    out, err = capsys.readouterr()
    assert [int(line.split()[-1]) for line in out.splitlines()] == list(range(1500))
    assert err == "unbroken hub tail: the log is away; waiting for it\n"


# As a process of its own.


@contextmanager
def tailing(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command with its output in pipes."""
    command = (sys.executable, "-m", "unbroken", "hub", "tail", *arguments)
    environment = {**os.environ, "UNBROKEN_HUB_URL": url_of(folder), "PYTHONFAULTHANDLER": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_a_pipe_and_ctrl_c(tmp_path: Path) -> None:
    """A line is there as soon as its event is; Ctrl-C ends it with exit code 0, and says how to go on."""
    fill(tmp_path, "t", "a")
    with tailing(tmp_path, "t") as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("message  a\n")
        (id_,) = fill(tmp_path, "t", "b")
        assert process.stdout.readline() == f"{id_}  message  b\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, "")
    assert err == f"unbroken hub tail: to go on from here: --after {id_}\n"


def test_a_pipe_that_is_closed(tmp_path: Path) -> None:
    """`… | head -1` ends it without a word."""
    fill(tmp_path, "t", "a")
    with tailing(tmp_path, "t") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        fill(tmp_path, "t", "b")
        assert process.wait(DEADLINE) == 0
        assert process.stderr.read() == ""
