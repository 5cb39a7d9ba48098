"""A server for the tests, and a place of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.engines.postgres import Postgres, running_postgres

_numbers = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """Run a server for all tests that leave it as it is."""
    with running_postgres() as engine:
        yield engine


@pytest.fixture
def url(server: Postgres) -> str:
    """Return the URL of a schema of this test's own."""
    return server.schema(f"test_{next(_numbers)}")
