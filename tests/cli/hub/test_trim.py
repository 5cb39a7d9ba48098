"""`unbroken hub trim`: what goes, and that somebody has said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.hub.support import fill, on, run, topics_in


def kept(folder: Path, topic: str) -> list[int]:
    """Return the numbers of the first and the last event that are kept."""
    (found,) = json.loads(run(folder, "stats", "--json", topic).stdout)["topics"]
    return [found["first_seq"], found["last_seq"]]


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--max-events", "2"], 4),
        (["--max-bytes", "10"], 5),
        (["--max-age", "3600"], 1),
        (["--max-age", "3600", "--max-events", "1"], 5),
    ],
)
def test_what_is_over_the_bounds(tmp_path: Path, arguments: list[str], first: int) -> None:
    """The oldest go, and the numbers are said."""
    fill(tmp_path, "t", *"abcde")
    done = run(tmp_path, "trim", "t", "--yes", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    gone = first - 1
    assert done.stdout == f"{gone} event{'' if gone == 1 else 's'} dropped, {5 - gone} kept.\n"
    assert kept(tmp_path, "t") == [first, 5]


def test_keys_stay(tmp_path: Path) -> None:
    """Whoever repeats a publish after the trim publishes nothing twice."""
    on(tmp_path, lambda hub: hub.publish("t", "a", key="k"))
    fill(tmp_path, "t", "b")
    run(tmp_path, "trim", "t", "--max-events", "1", "--yes")
    on(tmp_path, lambda hub: hub.publish("t", "a", key="k"))
    assert kept(tmp_path, "t") == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["t", "--max-events", "1"], 2, "nothing was dropped: there is nobody to be asked; say --yes"),
        (["t", "--yes"], 2, "say what to keep"),
        (["t", "--yes", "--max-events", "0"], 2, "max_events=0 is no bound"),
        (["t", "--yes", "--max-age", "nan"], 2, "max_age=nan is not a time"),
        (["u", "--yes", "--max-events", "1"], 1, "there is no topic 'u'"),
    ],
)
def test_nothing_goes(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """Unasked, without a bound, or from a topic that there is not."""
    fill(tmp_path, "t", *"abc")
    done = run(tmp_path, "trim", *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert kept(tmp_path, "t") == [1, 3]
    assert topics_in(tmp_path) == ["t"]
