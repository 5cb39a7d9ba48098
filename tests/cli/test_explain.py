"""`unbroken explain`: what it prints, and how it ends."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from unbroken.cli.commands import app
from unbroken.diagnose import CATALOGUE, find_cause
from unbroken.diagnose.source.rules import RULES

CUT = (
    "2026/11/22 10:00:00 [error] 29#29: *1 upstream timed out (110: Connection timed out) while reading upstream, "
    'client: 192.0.2.1, server: x, request: "GET /events/123?token=1 HTTP/1.1", upstream: "http://127.0.0.1:8000/"\n'
)
QUIET = '192.0.2.1 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"\n'


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["explain", *arguments], input=stdin)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log in which one stream was cut, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "error.log"
    path.write_text(QUIET + CUT)
    return path


def test_a_cause_with_its_place_and_its_fix(log: Path) -> None:
    """What it is, where and when, the line that shows it, what to do; exit code 1."""
    done = run(log.name)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{find_cause('idle-timeout').title}  (idle-timeout, high)"
    assert lines[1] == "  /events/{id}, once, at 2026-11-22 10:00:00 UTC"
    assert lines[2].startswith("    error.log:2: 2026/11/22 10:00:00 [error]")
    assert lines[3].startswith("  Fix: ")
    assert "  More: unbroken explain idle-timeout" in lines
    assert lines[-1].startswith("1 finding in 2 lines: ")


def test_what_is_not_certain_is_said_so(log: Path) -> None:
    """Durations alone do not tell what ends streams: the title and the line say that."""
    line = '192.0.2.1 - - [20/Nov/2026:10:{0:02}:00 +0000] "GET /events HTTP/1.1" 200 12{0:02}0 "-" "curl" 60.0{0:02}\n'
    log.write_text("".join(line.format(minute) for minute in range(40)))
    done = run(log.name)
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith(f"Perhaps: {find_cause('idle-timeout').title}")
    assert "all end after 60 s, not certain by what: " in second


def test_nothing_found(log: Path) -> None:
    """It is said, with how much was read; exit code 0."""
    log.write_text(QUIET)
    done = run(log.name)
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing that breaks streams in 1 line: ")


def test_standard_input_packed_or_not(log: Path) -> None:
    """`-`, and no argument at all."""
    assert run("-", stdin=CUT).exit_code == 1
    assert run(stdin=CUT).exit_code == 1
    assert "-:1: " in run(stdin=gzip.compress(CUT.encode())).stdout


def test_json(log: Path) -> None:
    """The findings as plain data, and what to do for each cause, once."""
    done = run(log.name, "--format", "json")
    found = json.loads(done.stdout)
    assert [(finding["cause"], finding["route"], finding["count"]) for finding in found["findings"]] == [
        ("idle-timeout", "/events/{id}", 1)
    ]
    assert found["causes"]["idle-timeout"]["fix"] == find_cause("idle-timeout").fix


def test_markdown(log: Path) -> None:
    """What a log holds stands in code, where it means nothing."""
    log.write_text(CUT.replace("server: x", "server: <script>").replace("/events/123", "/events/`![x](//evil)"))
    lines = run(log.name, "--format", "markdown").stdout.splitlines()
    assert lines[0] == "# What the logs show"
    evidence = next(line for line in lines if "<script>" in line)
    assert evidence.startswith(" " * 6 + "error.log:1: ")
    headline = next(line for line in lines if line.startswith("- "))
    assert headline.startswith("- `` /events/`![x](//evil), once, at 2026-11-22 10:00:00 UTC")
    assert headline.endswith(" ``")


@pytest.mark.parametrize("cause", [cause.id for cause in CATALOGUE])
def test_a_cause_by_its_name(cause: str) -> None:
    """All of it, as text that a pipe can carry."""
    done = run(cause)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{find_cause(cause).title}  ({cause})\n")
    assert "\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]


def test_a_cause_as_json_and_markdown() -> None:
    """The entry as data, and the page that stands in the docs."""
    assert json.loads(run("idle-timeout", "--format", "json").stdout)["id"] == "idle-timeout"
    page = Path(__file__).parents[2] / "docs" / "causes" / "idle-timeout.md"
    assert run("idle-timeout", "--format", "markdown").stdout.strip() == page.read_text().strip()


def test_files_and_standard_input_together(log: Path) -> None:
    """`-` is a file among others."""
    done = run("-", log.name, stdin=QUIET + CUT)
    assert done.exit_code == 1
    assert {"    -:2", "    error.log:2"} <= {line[: line.find(": ")] for line in done.stdout.splitlines()}


def test_several_causes() -> None:
    """One after the other; none is left out."""
    text = run("idle-timeout", "shutdown-hangs").stdout
    assert "(idle-timeout)\n" in text
    assert "(shutdown-hangs)\n" in text


def test_a_rule_by_its_code() -> None:
    """The cause that it belongs to."""
    assert f"({RULES[0].cause})" in run(RULES[0].code.lower()).stdout


def test_the_list() -> None:
    """A line for each cause."""
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [cause.id for cause in CATALOGUE]
    assert len(json.loads(run("--list", "--format", "json").stdout)) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["idle-timout"], "there is no cause 'idle-timout': did you mean idle-timeout?"),
        (["nowhere.log"], "nowhere.log: there is no such file, and no cause or rule of that name"),
        (["idle-timeout", "nowhere.log"], "nowhere.log: there is no such file, and no cause or rule of that name"),
        (["error.log", "nowhere.log"], "'nowhere.log' cannot be opened: No such file or directory"),
    ],
)
def test_a_wrong_argument_is_one_line(log: Path, arguments: list[str], text: str) -> None:
    """On standard error, with exit code 2, and nothing else."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"unbroken explain: {text}")
    assert len(done.stderr.splitlines()) == 1
