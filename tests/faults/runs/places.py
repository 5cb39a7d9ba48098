"""Where the servers keep their runs: a file, an engine of their own, or the memory of the only one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.engines import Engine
from tests.engines.nats import Nats
from tests.engines.postgres import Postgres
from tests.engines.valkey import Valkey

__all__ = ["ENGINES", "place"]

ENGINES = ("nats", "postgres", "valkey")


@asynccontextmanager
async def place(name: str, folder: Path) -> AsyncIterator[str]:
    """Give the URL of a log that has nothing yet."""
    if name == "memory":
        yield "memory://"
    elif name == "sqlite":
        yield f"sqlite:///{folder / 'runs.db'}?synchronous=normal"
    else:
        async with _engine(name) as engine:
            yield engine.url


@asynccontextmanager
async def _engine(name: str) -> AsyncIterator[Engine]:
    # Not in the test's own folder: an engine that runs as another user could not reach it.
    folder = Path(tempfile.mkdtemp(prefix="unbroken-engine-"))
    folder.chmod(0o755)
    kinds: dict[str, type[Nats | Postgres | Valkey]] = {"nats": Nats, "postgres": Postgres, "valkey": Valkey}
    engine = kinds[name](folder)
    try:
        await asyncio.to_thread(engine.start)
        yield engine
    finally:
        await asyncio.to_thread(engine.kill)
        shutil.rmtree(folder, ignore_errors=True)
