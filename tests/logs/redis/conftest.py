"""The server that the tests of a module share; each test has a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.engines.valkey import Valkey

_numbers = count()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Run one server."""
    with Valkey(tmp_path_factory.mktemp("valkey")) as engine:
        yield engine


@pytest.fixture
def prefix() -> str:
    """Return what the keys of this test begin with."""
    return f"test{next(_numbers)}"
