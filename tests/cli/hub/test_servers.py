"""`unbroken hub` on a log that a server keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.hub.support import run
from tests.engines.valkey import Valkey

PASSWORD = "open-sesame"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server for the tests of this module."""
    with Valkey(tmp_path_factory.mktemp("valkey"), persistent=False) as running:
        yield running


def test_from_the_first_event_to_the_last(server: Valkey, tmp_path: Path) -> None:
    """All commands, one after the other; nothing is left of what `trim` dropped."""
    url = server.url
    ids = [run(tmp_path, "publish", "t", data, url=url).stdout.strip() for data in "abc"]
    assert run(tmp_path, "trim", "t", "--max-events", "1", "--yes", url=url).stdout == "2 events dropped, 1 kept.\n"
    tailed = run(tmp_path, "tail", "t", "--after", ids[0], "--count", "1", url=url)
    assert tailed.stdout == f"{ids[2]}  message  c\n"
    assert tailed.stderr == "unbroken hub tail: gap: 1 events of topic 't' (trimmed)\n"
    (topic,) = json.loads(run(tmp_path, "stats", "--json", "t", url=url).stdout)["topics"]
    assert (topic["first_seq"], topic["last_seq"], topic["position"]) == (3, 3, ids[2])


@pytest.mark.parametrize(
    "command",
    [["publish", "t", "x"], ["tail", "t"], ["stats"], ["trim", "t", "--max-events", "1", "--yes"]],
    ids=lambda command: command[0],
)
def test_a_server_that_is_not_there(tmp_path: Path, command: list[str]) -> None:
    """One line with its host and port, no password, exit code 2."""
    url = f"redis://:{PASSWORD}@127.0.0.1:1/0"
    done = run(tmp_path, *command, url=url)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert PASSWORD not in done.stderr
