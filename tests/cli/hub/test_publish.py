"""`unbroken hub publish`, and what all of its neighbours do with the URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.hub.support import fill, on, run, topics_in, url_of
from unbroken import Hub
from unbroken.hub import Position


def published(folder: Path, topic: str, count: int) -> list[tuple[str, str, str]]:
    """Return id, type and data of a topic's first events."""

    async def read(hub: Hub) -> list[tuple[str, str, str]]:
        async with hub.subscribe(topic, after="earliest") as events:
            found = [await anext(events) for _ in range(count)]
        return [(event.id, event.event, event.data) for event in found]

    read_events: list[tuple[str, str, str]] = on(folder, read)
    return read_events


def test_an_event(tmp_path: Path) -> None:
    """It is published as it is given, and its id printed."""
    fill(tmp_path, "t", "first")
    done = run(tmp_path, "publish", "t", '{"a": "ü"}', "--event", "order")
    assert (done.exit_code, done.stderr) == (0, "")
    assert published(tmp_path, "t", 2)[1] == (done.stdout.strip(), "order", '{"a": "ü"}')


@pytest.mark.parametrize(
    ("stdin", "data"), [("one\n", "one"), ("a\nb\r\n", "a\nb"), ("\n\n", "\n"), ("", ""), ("ü", "ü")]
)
@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_standard_input(tmp_path: Path, arguments: list[str], stdin: str, data: str) -> None:
    """`-`, or no data at all; the end of the last line is the shell's."""
    fill(tmp_path, "t", "first")
    assert run(tmp_path, "publish", "t", *arguments, stdin=stdin.encode()).exit_code == 0
    assert published(tmp_path, "t", 2)[1][2] == data


def test_again(tmp_path: Path) -> None:
    """With the key of before nothing is published, which is said, and is no failure."""
    fill(tmp_path, "t", "first")
    first, again = (run(tmp_path, "publish", "t", data, "--key", "k") for data in "ab")
    assert (first.exit_code, again.exit_code, first.stdout) == (0, 0, again.stdout)
    assert first.stderr == ""
    assert "the key was used before" in again.stderr


def test_the_last_event(tmp_path: Path) -> None:
    """`--close`; what comes after it is refused in one line, with exit code 1."""
    fill(tmp_path, "t", "first")
    assert run(tmp_path, "publish", "t", "end", "--close").exit_code == 0
    refused = run(tmp_path, "publish", "t", "late")
    assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert "closed" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["$revoked", "x"], b"", "begins with '$'"),
        (["t", "x", "--event", "stream-end"], b"", "a control event's"),
        (["t", "x", "--key", "k" * 513], b"", "key="),
        (["t"], b"\xff", "not UTF-8, at byte 0"),
        (["t", "x" * 100_000 * 11], b"", "the hub takes 1048576"),
        (["t"], b"x" * 1_100_000, "more than the hub takes, 1048576 bytes"),
        (["t"], b"x" + "é".encode() * 600_000, "more than the hub takes, 1048576 bytes"),
    ],
)
def test_what_cannot_be_published(tmp_path: Path, arguments: list[str], stdin: bytes, said: str) -> None:
    """One line that says why, exit code 2, and nothing was made."""
    fill(tmp_path, "other", "x")
    done = run(tmp_path, "publish", *arguments, stdin=stdin)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr
    assert topics_in(tmp_path) == ["other"]


COMMANDS = (["publish", "t", "x"], ["tail", "t"], ["stats"], ["trim", "t", "--max-events", "1", "--yes"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://", "is in the memory of the process that opened it"),
        ("sqlite:///{folder}/typo.db", "there is no file {folder}/typo.db"),
        ("sqlite:///{folder}", "that is a directory"),
        ("sqlite:///{folder}/../empty", "empty is empty: no hub has made a log of it yet"),
        ("kafka://secret@host", "names no log"),
        ("no url", "names no log"),
    ],
)
def test_a_url_that_leads_nowhere(tmp_path: Path, command: list[str], url: str, said: str) -> None:
    """One line that says why, exit code 2; no file is made or written to, and no password shown."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "empty").touch()
    done = run(folder, *command, url=url.format(folder=folder))
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"unbroken hub {command[0]}: ")
    assert said.format(folder=folder) in done.stderr
    assert "secret" not in done.stderr
    assert (list(folder.iterdir()), (tmp_path / "empty").stat().st_size) == ([], 0)


def test_the_option_goes_before_the_environment(tmp_path: Path) -> None:
    """`--url` is what was said last."""
    fill(tmp_path, "t", "x")
    done = run(tmp_path, "publish", "--url", url_of(tmp_path), "t", "y", url="memory://")
    assert done.exit_code == 0
    assert Position.parse(done.stdout.strip()) is not None
