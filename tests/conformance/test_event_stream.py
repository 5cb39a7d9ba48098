"""The decoder against the standard's clauses, however the bytes arrive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from unbroken.wire import DecodedEvent, Decoder

from .vectors import VECTORS, Vector

pytestmark = pytest.mark.core

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LATER = [vector for vector in VECTORS if not vector.stream.startswith(BYTE_ORDER_MARK)]  # there it would be text

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector.id for vector in VECTORS])


def assert_reads(vector: Vector, chunks: Iterable[bytes]) -> None:
    """Fail with the vector's rule unless these chunks of its stream are read as it says."""
    decoder = Decoder()
    events = tuple(event for chunk in chunks for event in decoder.feed(chunk))
    assert events == vector.events, vector.rule
    assert (decoder.retry, decoder.last_event_id, decoder.comments) == (
        vector.retry,
        vector.last_event_id,
        vector.comments,
    ), vector.rule


@each_vector
def test_whole(vector: Vector) -> None:
    """A stream that comes in one chunk is read to the letter of its clause."""
    assert_reads(vector, [vector.stream])


@each_vector
def test_byte_by_byte(vector: Vector) -> None:
    """So is one that comes in single bytes, with empty chunks between them."""
    chunks = [vector.stream[at : at + 1] for at in range(len(vector.stream))]
    assert_reads(vector, [part for chunk in chunks for part in (chunk, b"")])


@each_vector
def test_cut_in_two_everywhere(vector: Vector) -> None:
    """So is one that is cut once, at each place where it can be cut."""
    for at in range(len(vector.stream) + 1):
        assert_reads(vector, [vector.stream[:at], vector.stream[at:]])


@pytest.mark.parametrize("vector", LATER, ids=[vector.id for vector in LATER])
def test_behind_another_event(vector: Vector) -> None:
    """So is what follows an event, in its chunk or in the next: whole blocks are then read many at a time."""
    first = DecodedEvent("message", "first", "")
    behind = replace(vector, events=(first, *vector.events))
    assert_reads(behind, [b"data: first\n\n" + vector.stream])
    assert_reads(behind, [b"data: first\n\n", vector.stream])


def test_every_vector_has_its_own_name() -> None:
    """A failure names one vector."""
    assert len({vector.id for vector in VECTORS}) == len(VECTORS)
