"""`unbroken tail`: what it prints of an event."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import typer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.cli.hub.support import fill, on, url_of
from tests.cli.tail.support import Answer, answering, run
from tests.diagnose.endpoint.serving import serving
from unbroken import Hub
from unbroken.cli.output import ending_well
from unbroken.cli.tail.screen import Screen
from unbroken.errors import UnbrokenError
from unbroken.hub import Retention

EVENTS = (
    b"data: plain\n\n"
    b"id: 1\nevent: tick\ndata: two\ndata: lines\n\n"
    b"id: \xc3\xbc 2\nevent: \x1b[2J\ndata: \x1b[31mred\xc2\x9b\x07\n\n"
    b": a comment\n\n"
    b"id\ndata: {}\n\n"
)
ONCE = Answer(b"retry: 1\n" + EVENTS)


def test_lines() -> None:
    """Id, type and data; further lines are indented; `-` for no id; nothing that a terminal obeys, and no colours."""
    with answering(ONCE) as asked:
        done = run(asked.url, "--no-reconnect")
    assert (done.exit_code, done.stderr) == (0, "unbroken tail: the stream has ended: nothing more comes\n")
    assert done.stdout.splitlines() == [
        "-  message  plain",
        "1  tick  two",
        "    lines",
        "ü 2  \\x1b[2J  \\x1b[31mred\\x9b\\x07",
        "-  message  {}",
    ]


def test_json_lines() -> None:
    """One object in each line, from which the data comes back as it was."""
    with answering(ONCE) as asked:
        done = run(asked.url, "--no-reconnect", "--json")
    assert not set(done.stdout) & {"\x1b", "\x9b"}
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"id": None, "event": "message", "data": "plain"},
        {"id": "1", "event": "tick", "data": "two\nlines"},
        {"id": "ü 2", "event": "\x1b[2J", "data": "\x1b[31mred\x9b\x07"},
        {"id": None, "event": "message", "data": "{}"},
    ]


def test_the_data_is_whole() -> None:
    """With the blanks and the line ends that it has at its end, as the pieces of a model's answer have them."""
    with answering(Answer(b"data: a  \n\ndata: b\ndata:\n\ndata\n\n", "hold")) as asked:
        done = run(asked.url, "--count", "3")
    assert done.stdout == "-  message  a  \n-  message  b\n    \n-  message\n"


def test_what_ends_or_turns_a_line() -> None:
    """Other ends of lines than LF, and what writes text from right to left, are shown as well, and not obeyed."""
    odd = "a\u2028b\u2029c\u202ed\u2066e\x85"
    with answering(*[Answer(f"data: {odd}\n\n".encode(), "hold")] * 2) as asked:
        plain = run(asked.url, "--count", "1").stdout
        as_json = run(asked.url, "--count", "1", "--json").stdout
    assert plain == "-  message  a\\u2028b\\u2029c\\u202ed\\u2066e\\x85\n"
    assert len(as_json.splitlines()) == 1
    assert json.loads(as_json)["data"] == odd


def test_times() -> None:
    """`--time` says when an event came, before a line and in an object."""
    before = datetime.now().astimezone().replace(microsecond=0)
    with answering(ONCE, ONCE) as asked:
        line = run(asked.url, "--time", "--count", "1").stdout
        told = json.loads(run(asked.url, "--time", "--count", "1", "--json").stdout)
    assert datetime.strptime(line.split("  ")[0], "%H:%M:%S.%f")
    assert before <= datetime.fromisoformat(told["time"]) <= datetime.now().astimezone()


def test_types_and_count() -> None:
    """Only events of the types are printed, and only these are counted."""
    body = b"".join(b"id: %d\nevent: %s\ndata\n\n" % (number, b"abc"[number % 3 :][:1]) for number in range(1, 12))
    with answering(Answer(body, "hold")) as asked:
        done = run(asked.url, "--event", "a", "--event", "c", "--count", "5")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["2  c", "3  a", "5  c", "6  a", "8  c"]


def test_quiet() -> None:
    """Standard error has errors only."""
    with answering(Answer(b"retry: 1\ndata: 1\n\n", "cut"), Answer(b"data: 2\n\n")) as asked:
        done = run(asked.url, "--quiet")
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == "-  message  1\n-  message  2\n"
    assert "ConnectError" in run(asked.url, "--quiet").stderr


# A gap, of a real hub.


def _hub_app(folder: Path) -> Starlette:
    hub = Hub(url_of(folder))

    async def events(request: Request) -> Response:
        response: Response = hub.response(request, "t", public=True)
        return response

    return Starlette(routes=[Route("/events", events)], lifespan=hub.lifespan)


def _with_gap(folder: Path) -> list[str]:
    ids = fill(folder, "t", *"abcde")
    on(folder, lambda hub: hub.trim("t", Retention(max_events=2)))
    return ids


def test_a_gap(tmp_path: Path) -> None:
    """It is said on standard error, and what is there follows; with `--json` it is a line among the others, too."""
    ids = _with_gap(tmp_path)
    with serving(_hub_app(tmp_path), lifespan="on") as url:
        done = run(f"{url}/events", "--after", ids[0], "--count", "2")
        as_json = run(f"{url}/events", "--after", ids[0], "--count", "2", "--json")
    assert (done.exit_code, done.stderr) == (0, "unbroken tail: gap: 2 events of topic 't' (trimmed)\n")
    assert done.stdout.splitlines() == [f"{ids[3]}  message  d", f"{ids[4]}  message  e"]
    gap, *events = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert gap == {"topic": "t", "gap": {"reason": "trimmed", "after": ids[0], "next": ids[3], "missed": 2}}
    assert [event["id"] for event in events] == ids[3:]


def test_a_gap_with_strict(tmp_path: Path) -> None:
    """Nothing is printed behind it, the exit code is 1, and the place that is kept is the one before it."""
    ids = _with_gap(tmp_path)
    store = tmp_path / "place"
    store.write_text(ids[0])
    with serving(_hub_app(tmp_path), lifespan="on") as url:
        done = run(f"{url}/events", "--store", str(store), "--strict")
        assert (done.exit_code, done.stdout) == (1, "")
        assert store.read_text() == ids[0]
        done = run(f"{url}/events", "--after", ids[3], "--count", "1", "--strict")
        assert (done.exit_code, done.stdout) == (0, f"{ids[4]}  message  e\n")


def test_a_notice_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """So is an error. Nothing that a server said can have a line that looks like ours."""
    told = "gone\nunbroken tail: to go on from here: --after EVIL\x1b[2J"
    Screen(quiet=False).notice(told)
    with pytest.raises(typer.Exit), ending_well("tail"):
        raise UnbrokenError(told)
    shown = "unbroken tail: gone\\nunbroken tail: to go on from here: --after EVIL\\x1b[2J"
    assert capsys.readouterr().err.splitlines() == [shown, shown]


@pytest.mark.parametrize("type_", ["stream-gap", "stream-end", "stream-error"])
def test_an_event_that_only_has_such_a_name(type_: str) -> None:
    """It is printed as any other."""
    with answering(Answer(f"event: {type_}\ndata: mine\n\n".encode(), "hold")) as asked:
        assert run(asked.url, "--count", "1", "--strict").stdout == f"-  {type_}  mine\n"
