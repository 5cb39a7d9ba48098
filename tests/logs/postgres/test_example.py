"""The example with an outbox does what it shows, on a real server."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engines.postgres import running_postgres
from unbroken.testing import open_stream

APP = Path(__file__).resolve().parents[3] / "examples" / "outbox" / "app.py"


@contextmanager
def loaded(url: str) -> Iterator[Any]:
    """Import the application afresh, for a database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        spec = importlib.util.spec_from_file_location("example_outbox", APP)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


async def asked(app: Any, path: str, method: str = "POST") -> tuple[int | None, str]:
    """Return the status and the body of an answer."""
    async with open_stream(app, path, method=method) as stream:
        await stream.until_end()
        return stream.status, stream.received.decode()


def test_a_page_is_told_of_what_is_stored_and_of_nothing_else() -> None:
    """Each item that is shipped comes once; what the shop took back in the last moment never does."""

    async def scenario(app: Any) -> None:
        async with app.router.lifespan_context(app):
            assert (await asked(app, "/orders/7"))[0] == 200
            _, page = await asked(app, "/orders/7", "GET")
            assert '<output id="left">3</output>' in page
            cursor = re.findall(r"last_event_id=([^\"]+)", page)[0]
            async with open_stream(app, "/orders/7/events", query=f"last_event_id={cursor}") as stream:
                statuses = [(await asked(app, "/orders/7/ship"))[0] for _ in range(4)]
                assert statuses == [200, 200, 200, 409]
                events = await stream.events(3)
                assert [event.data for event in events] == ['{"left":2}', '{"left":1}', '{"left":0}']
            assert '<output id="left">0</output>' in (await asked(app, "/orders/7", "GET"))[1]
            assert [(await asked(app, path, "GET"))[0] for path in ("/orders/8", "/orders/8/events")] == [404, 404]

    with running_postgres() as engine:
        url = engine.url
        with loaded(url) as example:
            asyncio.run(scenario(example.app))
        assert engine.sql("SELECT count(*) FROM unbroken.entries") == "4"
        assert engine.sql("SELECT encode(name, 'escape') FROM unbroken.topics WHERE seq > 0") == "orders:7"
