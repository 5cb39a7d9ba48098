"""The benchmark of clients runs from end to end, and what it counts is what was sent. No figure is asserted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmarks.clients import floor
from benchmarks.clients.decoders import DECODERS, FLOOR, REFERENCE
from benchmarks.clients.streams import STREAMS

from tests.conformance.vectors import VECTORS
from unbroken.wire import DecodedEvent

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ["unbroken", "unbroken, sync"]
EVENTS = 400

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a server's life is bounded by an alarm")


def test_the_part_runs_from_end_to_end() -> None:
    """Every event arrives in what is measured, or the figures are worth nothing; and ours read every vector."""
    command = [sys.executable, "-m", "benchmarks", "--only", "clients", "--quick", "--json"]
    command += ["--events", str(EVENTS), "--peers", *CLIENTS]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=50)
    found: dict[str, Any] = json.loads(ran.stdout)["clients"]
    for client in CLIENTS:
        assert found["conformance"][client]["vectors"] >= 10
        assert found["conformance"][client]["failed"] == {"whole": [], "bytes": []}
        for clients in found["end_to_end"].values():
            assert [(figure["expected"], figure["received"]) for figure in clients[client]] == [(EVENTS, EVENTS)]
    assert list(found["decoding"]) == list(STREAMS)
    for decoders in found["decoding"].values():
        (figure,) = decoders[REFERENCE]
        assert figure["expected"] == figure["received"] > 0


@pytest.mark.parametrize("decoder", [name for name in DECODERS if name != FLOOR])
def test_a_decoder_counts_what_a_stream_has(decoder: str) -> None:
    """The peers' decoders are called so that they can read what they are measured with, to its last event."""
    try:
        count = DECODERS[decoder]()
    except ImportError as error:
        pytest.skip(str(error))
    for name, stream_of in STREAMS.items():
        stream = stream_of(60)
        assert count(stream.chunks) == stream.events, name


@pytest.mark.skipif(not (shutil.which("cc") or find_spec("ziglang")), reason="there is no C compiler")
def test_the_floor_reads_every_vector() -> None:
    """The decoder in C that ours is held against does the same work: it reads what the standard has, however cut."""
    try:
        module = floor.module()
    except floor.AbsentError as error:
        pytest.skip(str(error))
    for vector in VECTORS:
        whole = module.Decoder(DecodedEvent)
        assert tuple(whole.feed(vector.stream)) == vector.events, vector.id
        cut = module.Decoder(DecodedEvent)
        pieces = [vector.stream[at : at + 1] for at in range(len(vector.stream))]
        assert tuple(event for piece in pieces for event in cut.feed(piece)) == vector.events, vector.id
