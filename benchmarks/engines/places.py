"""The engines: each fresh, in a folder of its own, set up as it comes, and as durable as that is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

__all__ = ["PLACES"]

Place = Callable[[], AbstractContextManager[str]]


@contextmanager
def _valkey() -> Iterator[str]:
    from tests.engines.valkey import Valkey

    # Its append-only file, which is written to the disk once a second.
    with _folder() as folder, Valkey(folder) as engine:
        yield engine.url


@contextmanager
def _postgres() -> Iterator[str]:
    from tests.engines.postgres import running_postgres

    # What PostgreSQL has by default, where the tests do with less. A layer may open a connection for every publish.
    with running_postgres(fsync="on", max_connections="100", shared_buffers="128MB") as engine:
        yield engine.url


@contextmanager
def _nats() -> Iterator[str]:
    from tests.engines.nats import Nats

    with _folder() as folder, Nats(folder) as engine:
        yield engine.url


@contextmanager
def _sqlite() -> Iterator[str]:
    with _folder() as folder:
        yield f"sqlite:///{folder}/events.db"


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="unbroken-engines-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


PLACES: dict[str, Place] = {"valkey": _valkey, "postgres": _postgres, "nats": _nats, "sqlite": _sqlite}
"""By name; each gives its URL while it runs."""
