"""`unbroken doctor`: what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from typer.testing import CliRunner, Result

from tests.diagnose.endpoint.serving import Counter, serving
from unbroken import EventSourceResponse, ServerSentEvent
from unbroken.cli.commands import app
from unbroken.diagnose.endpoint import CHECKS

SECRET = "a-secret-that-nobody-prints"


async def _events(request: Request) -> Response:
    answer = (await request.body()).decode() or "hello"
    return EventSourceResponse(ServerSentEvent(f"{answer} {number}", id=str(number)) for number in range(3))


async def _page(request: Request) -> Response:
    return PlainTextResponse("no | events ![x](//evil)")


async def _bare(request: Request) -> Response:
    return StreamingResponse((f"data: {number}\n\n" for number in range(3)), media_type="text/event-stream")


@pytest.fixture(scope="module")
def counter() -> Counter:
    """The application, which counts its requests."""
    routes = [Route("/events", _events, methods=["GET", "POST"]), Route("/page", _page), Route("/bare", _bare)]
    return Counter(Starlette(routes=routes))


@pytest.fixture(scope="module")
def server(counter: Counter) -> Iterator[str]:
    """A real server."""
    with serving(counter) as url:
        yield url


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_a_stream_that_is_right(server: str) -> None:
    """A line for each check, in a pipe without colours, boxes or spaces at a line's end; exit code 0."""
    done = run(f"{server}/events")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"{server}/events"
    told = [re.split(r"  +", line) for line in lines[1:-1] if not line.startswith(" ")]
    named = {name for _, names, _ in told for name in names.split(", ")}
    assert named == {check.name for check in CHECKS}
    assert not [line for line in lines if line != line.rstrip() or "\x1b" in line]
    assert " requests in " in lines[-1]


def test_a_failure_is_an_exit_code(server: str) -> None:
    """Exit code 1, with the cause to read on about."""
    done = run(f"{server}/page")
    assert done.exit_code == 1
    assert "unbroken explain not-an-event-stream" in done.stdout


def test_a_warning_is_one_if_asked(server: str) -> None:
    """`--strict` fails where something is only warned of: here, headers that are missing."""
    assert run(f"{server}/bare").exit_code == 0
    assert run(f"{server}/bare", "--strict").exit_code == 1


def test_json_is_the_whole_examination(server: str) -> None:
    """Plain data, with the plan and the requests that were made."""
    report = json.loads(run(f"{server}/events", "--format", "json").stdout)
    assert report["failed"] is False
    assert {verdict["check"] for verdict in report["verdicts"]} == {check.name for check in CHECKS}
    assert report["plan"]
    assert report["requests"]


def test_markdown_is_one_table(server: str) -> None:
    """Each row has its five cells, whatever the texts hold."""
    text = run(f"{server}/page", "--format", "markdown").stdout
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > len(CHECKS)
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}
    assert "![x](//evil)" not in text


def test_output_that_cannot_be_written(server: str) -> None:
    """It is one line with exit code 2: 1 would say that a check had failed."""
    command = [sys.executable, "-m", "unbroken", "doctor", f"{server}/events"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "unbroken doctor: [Errno 28] No space left on device"


def test_the_plan_makes_no_request(server: str, counter: Counter) -> None:
    """It says what would be asked, and asks nothing."""
    before = len(counter.requests)
    done = run(f"{server}/events", "--plan")
    assert done.exit_code == 0
    assert " x GET for: " in done.stdout
    assert len(counter.requests) == before


def test_a_post_is_made_once(server: str, counter: Counter, tmp_path: Path) -> None:
    """With the body of a file, and the header that was given; it is printed nowhere."""
    body = tmp_path / "body"
    body.write_text("from a file")
    before = len(counter.requests)
    done = run(f"{server}/events", "--post", f"@{body}", "-H", f"Authorization: Bearer {SECRET}")
    assert done.exit_code == 0, done.output
    posts = [headers for method, headers in counter.requests[before:] if method == "POST"]
    assert [headers["authorization"] for headers in posts] == [f"Bearer {SECRET}"]
    assert SECRET not in done.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["http://127.0.0.1/", "-H", SECRET], "--header has no colon: give it as 'Name: value'"),
        (["ftp://127.0.0.1/"], "cannot be examined: give one such as https://example.org/events"),
        (["http://127.0.0.1/", "--connections", "21"], "connections=21 is out of its range: give 1 to 20"),
        (["http://127.0.0.1/", "--post", "@nowhere"], "--post @nowhere: No such file or directory"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], text: str) -> None:
    """On standard error, with exit code 2, and nothing else; a credential without a name is not repeated."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert text in done.stderr
    assert SECRET not in done.output
