"""The fan-out benchmark runs from end to end, and what it counts is what was sent. No figure is asserted."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, cast
from xml.etree import ElementTree as ET

import pytest
from benchmarks.fanout.bench import running
from benchmarks.fanout.load import Load, Phase

ROOT = Path(__file__).resolve().parents[2]
STREAMS = 20
PEERS = ["StreamingResponse", "bare uvloop"]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU and memory of a process as Linux gives them"),
    pytest.mark.skipif(
        not (shutil.which("cc") or find_spec("ziglang")), reason="the load generator is C, and there is no compiler"
    ),
]


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--only", "fanout", "--quick", "--subscribers", str(STREAMS)]
    command += ["--seconds", "0.2"]
    ran = subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True, timeout=50)
    return ran.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Run the smallest fan-out once, for all tests here."""
    path = tmp_path_factory.mktemp("fanout") / "figures.json"
    return _run("--peers", *PEERS, "--scenarios", "fan-out", "--save", str(path)), path


def test_every_peer_delivers_every_event_once_and_in_order(saved: tuple[str, Path]) -> None:
    """A figure per delivery is worth nothing if events are lost, doubled or late: the generator names each."""
    figures: dict[str, Any] = json.loads(saved[1].read_text())
    assert list(figures["values"]) == PEERS
    assert figures["flaws"] == {peer: [] for peer in PEERS}
    for own in figures["values"].values():
        assert {f"{name} {STREAMS}" for name in ("cpu", "batch", "paced p99", "memory", "storm")} <= own.keys()


def test_the_report_has_a_row_per_peer_and_names_the_machine(saved: tuple[str, Path]) -> None:
    """Every peer that was asked for is in the first table, under the versions of the run."""
    machine, *lines = saved[0].splitlines()
    assert "uvicorn " in machine
    assert "cores" in machine
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert rows[: len(PEERS) + 1] == ["peer", *PEERS]


def test_the_page_gets_its_table_and_its_picture(saved: tuple[str, Path], tmp_path: Path) -> None:
    """What the docs show is made from the figures of a run, in their place, and nothing else on the page changes."""
    before = (ROOT / "docs" / "performance.md").read_text()
    (tmp_path / "performance.md").write_text(before)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.fanout.page", str(saved[1]), str(tmp_path)], cwd=ROOT, check=True, timeout=30
    )
    after = (tmp_path / "performance.md").read_text()
    assert all(f"| {peer} |" in after for peer in PEERS)
    assert after.split("<!-- figures", 1)[0] == before.split("<!-- figures", 1)[0]
    assert after.split("<!-- end", 1)[1] == before.split("<!-- end", 1)[1]
    texts = {text.text for text in ET.parse(tmp_path / "performance.svg").iter() if text.tag.endswith("text")}
    assert texts >= set(PEERS)


@pytest.fixture
def load() -> Iterator[Load]:
    """The generator against the smallest server there is."""
    with running("bare uvloop", heartbeat=3600) as bench:
        yield bench.load


def test_the_generator_counts_what_it_published(load: Load) -> None:
    """Each of N streams gets each of R times K events: so many are expected, and so many come."""
    assert load.do("open 7 4 /events").streams == 7
    assert load.do("warm").complete
    phase = load.do("publish 5 3 10")
    assert (phase.posts, phase.expected, phase.received, phase.flaw) == (5, 105, 105, None)


def test_the_generator_sees_a_storm_through(load: Load) -> None:
    """After a reset of all streams it asks until the server says that nobody is left."""
    load.do("open 9 4 /events")
    assert load.do("reset").streams == 0
    assert load.do("gone 10").complete


class BadServer(asyncio.Protocol):
    """It delivers an event twice to its first subscriber, and hangs up on its second."""

    subscribers: ClassVar[list[asyncio.Transport]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            self.subscribers.append(self.transport)
            self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            return
        first, second = self.subscribers
        first.write(b"data: %s\n\n" % data.split(b"\r\n\r\n")[1] * 2)
        second.close()
        self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def test_the_generator_names_what_was_lost_and_what_came_twice() -> None:
    """A server that is wrong is not measured in silence: what it did is counted, and the phase is flawed."""

    async def measure() -> Phase:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(BadServer, "127.0.0.1", 0)
        with Load(server.sockets[0].getsockname()[1]) as load:
            await asyncio.to_thread(load.do, "open 2 1 /events")
            phase = await asyncio.to_thread(load.do, "publish 1 1 5")
        server.close()
        return phase

    phase = asyncio.run(measure())
    assert (phase.expected, phase.received, phase.lost, phase.disorder) == (2, 2, 1, 1)
    assert phase.flaw == "1 lost, 1 twice or late"
