"""The table of what ends a stream, row by row, against a server that does what the row says."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import pytest

from tests.docs.model_server import Answer, HangUp, ModelServer, Refusal, Unended
from tests.docs.test_client_reference import section
from unbroken.client import EventSource
from unbroken.testing import RecordedStream

EVENT = b"id: 1\ndata: one\n\n"
POLICIES = ("always", "faults", "never")


def stream(rest: bytes = b"", *, incomplete: bool = False) -> RecordedStream:
    """Return an event, and what comes behind it."""
    return RecordedStream(EVENT + rest, incomplete=incomplete)


def told(event: str, reason: str) -> RecordedStream:
    """Return an event, and a control event."""
    return stream(f'event: {event}\ndata: {{"reason":"{reason}"}}\n\n'.encode())


Case = tuple[Answer, dict[str, Any]]

# In the table's order; a row that names two things has two.
CASES: list[list[Case]] = [
    [(stream(b"data: [DONE]\n\n"), {"end": "[DONE]"})],
    [(told("stream-end", "completed"), {}), (Refusal(204), {})],
    [(stream(), {})],
    [(stream(), {"end": "[DONE]"})],
    [(stream(b"data: hal"), {})],
    [(told("stream-end", "shutdown"), {}), (told("stream-end", "max_age"), {})],
    [(told("stream-end", "limit"), {})],
    [(stream(incomplete=True), {})],
    [(Unended(stream()), {"idle_timeout": 0.3})],
    [(told("stream-error", "producer_error"), {})],
    [(HangUp(), {})],
    [(Refusal(503), {}), (Refusal(429), {})],
    [(Refusal(404), {}), (Refusal(200, b"{}", {"content-type": "application/json"}), {})],
    [(told("stream-end", "revoked"), {})],
    [(stream(b"data: " + b"x" * 100), {"max_line_bytes": 50}), (stream(b"data: 12\n" * 9), {"max_event_bytes": 20})],
]


def rows() -> list[list[str]]:
    """Return the table's cells, a row that is like the column before it written out."""
    lines = [line for line in section("What ends it").splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def cases() -> list[Any]:
    """Return each cell with what its row says."""
    return [
        pytest.param(case, policy, cells, id=f"{number}{'ab'[half]}-{policy}")
        for number, (cells, both) in enumerate(zip(rows(), CASES, strict=True))
        for half, case in enumerate(both)
        for policy in POLICIES
    ]


async def outcome(answer: Answer, policy: Any, arguments: dict[str, Any]) -> tuple[str, int]:
    """Return what became of the stream, in the table's words, and how many events came before."""
    arguments = {"idle_timeout": 10.0, "reconnect_delay": 0.0, **arguments}
    events = 0
    async with (
        asyncio.timeout(20),
        ModelServer(answer, Refusal(204)).running() as server,
        httpx2.AsyncClient(verify=False, trust_env=False) as client,  # certificates are most of a client's cost
    ):
        try:
            async with EventSource(server.url, client=client, reconnect=policy, **arguments) as source:
                async for _ in source:
                    events += 1
        except Exception as error:
            return type(error).__name__, events
        return ("again" if len(server.requests) > 1 else "ends"), events


@pytest.mark.parametrize(("case", "policy", "cells"), cases())
def test_a_stream_ends_as_the_table_says(case: Case, policy: str, cells: list[str]) -> None:
    """By an end, by an error of that name, or not at all; and the event before it is given."""
    expected = cells[1 + POLICIES.index(policy)]
    expected = cells[1] if expected == "the same" else expected
    became, events = asyncio.run(outcome(case[0], policy, case[1]))
    assert became in re.findall(r"\w+", expected)
    assert events == (0 if isinstance(case[0], Refusal | HangUp) else 1)
