"""What the tests of `unbroken hub` share: a log in a file with something in it, and the command."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from typer.testing import CliRunner, Result

from unbroken import Hub
from unbroken.cli.commands import app
from unbroken.hub import Retention

__all__ = ["fill", "on", "run", "topics_in", "url_of"]

T = TypeVar("T")


def url_of(folder: Path) -> str:
    """Return the URL of the log in a test's folder."""
    return f"sqlite:///{folder / 'events.db'}"


def on(folder: Path, use: Any) -> Any:
    """Call `use` with an open hub, and return what it returns."""

    async def main() -> Any:
        async with Hub(url_of(folder), retention=Retention(max_events=100_000)) as hub:
            result = use(hub)
            return await result if isinstance(result, Coroutine) else result

    return asyncio.run(main())


def fill(folder: Path, topic: str, *texts: str, close: bool = False) -> list[str]:
    """Publish texts, and return their ids."""

    async def publish(hub: Hub) -> list[str]:
        last = len(texts) - 1
        return [str(await hub.publish(topic, text, close=close and at == last)) for at, text in enumerate(texts)]

    ids: list[str] = on(folder, publish)
    return ids


def run(folder: Path, *arguments: str, stdin: str | bytes | None = None, url: str | None = None) -> Result:
    """Run the command in this process; the URL comes from the environment."""
    environment = {"UNBROKEN_HUB_URL": url or url_of(folder)}
    return CliRunner().invoke(app, ["hub", *arguments], input=stdin, env=environment)


def topics_in(folder: Path) -> Sequence[str]:
    """Return the names of the topics that there are."""

    async def names(hub: Hub) -> Sequence[str]:
        return await (await hub._home.open()).log.topics()

    found: Sequence[str] = on(folder, names)
    return sorted(found)
