"""The server that the tests of a module share; each test has a stream of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.nats import Nats
from tests.logs.nats.running import Stream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """Run one server."""
    with Nats(tmp_path_factory.mktemp("nats")) as engine:
        yield engine


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Nats]:
    """Run a server that a test may kill."""
    with Nats(tmp_path) as engine:
        yield engine


@pytest.fixture
def stream() -> Stream:
    """Return a stream that there is not yet."""
    return Stream()
