"""The examples do what they show."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from unbroken.testing import StreamEnd, open_stream

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> Any:
    """Import an example's application afresh."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hello_prints_its_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The generator that never awaits is told of its client's leaving."""

    async def main() -> None:
        async with open_stream(load("hello").app, "/events") as stream:
            assert {event.data for event in await stream.events(10)} == {"Hello"}

    asyncio.run(main())
    assert capsys.readouterr().out == "Client disconnected, stopping event generator\n"


def test_progress_reaches_its_end() -> None:
    """All steps, then `done`, and the machine is off."""
    example = load("progress")

    async def main() -> None:
        async with open_stream(example.app, "/progress", query="seconds=0.05") as stream:
            events = await stream.until_end()
            assert [event.event for event in events] == ["progress"] * 10 + ["done"]
            assert stream.ended is StreamEnd.COMPLETE

    asyncio.run(main())
    assert example.app.state.machines == 0


def test_progress_releases_its_machine_when_the_client_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    """Its release awaits, and is waited for."""
    example = load("progress")

    async def main() -> None:
        async with open_stream(example.app, "/progress", query="seconds=3600") as stream:
            await stream.next_event()
            assert example.app.state.machines == 1

    asyncio.run(main())
    assert example.app.state.machines == 0
    assert "the stream ended: client_closed" in capsys.readouterr().out
