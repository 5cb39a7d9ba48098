"""The examples do what they show."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from unbroken.diagnose.source import check_text, fix_text
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock

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


def test_guarded_is_protected_and_shown() -> None:
    """The other library's stream has a heartbeat while it is silent, and the page says that it is open, and guarded."""
    example = load("guarded")

    async def main() -> tuple[bytes, bytes]:
        async with open_stream(example.app, "/quotes", query="every=3600", timeout=1000) as stream:
            assert (await stream.next_event()).data == "101"
            await asyncio.sleep(6)
            async with open_stream(example.app, "/streams/status.json", client=("127.0.0.1", 5000)) as status:
                await status.until_end()
            return stream.received, status.received

    received, status = run_with_virtual_clock(main())
    assert received.endswith(b"data: 101\n\n: keep-alive\n\n")
    assert b'"/quotes"' in status


def test_guarded_shows_nothing_to_others() -> None:
    """The page is for this machine alone."""
    example = load("guarded")

    async def main() -> int:
        async with open_stream(example.app, "/streams/status.json", client=("192.0.2.1", 5000)) as status:
            await status.until_end()
            return status.status

    assert asyncio.run(main()) == 403


def test_broken_is_found_broken_and_mended() -> None:
    """`check` says what is wrong with it, and `fix` leaves what its text says is a person's choice."""
    source = (EXAMPLES / "broken" / "app.py").read_text()
    found = {finding.code for finding in check_text(source)}
    assert found == {"SSE002", "SSE008", "SSE009", "SSE011", "SSE012", "SSE013", "SSE017"}
    fixed = fix_text(source)
    assert {leftover.finding.code for leftover in fixed.left} == {"SSE008", "SSE009"}
    assert {finding.code for finding in check_text(fixed.text)} == {"SSE008", "SSE009"}
