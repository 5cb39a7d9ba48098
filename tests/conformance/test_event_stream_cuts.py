"""The standard's clauses again, with the bytes cut wherever hypothesis likes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from .test_event_stream import assert_reads, each_vector
from .vectors import Vector


@each_vector
@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.floats(0, 1)))
def test_cut_at_random(vector: Vector, places: list[float]) -> None:
    """Where the network cuts a stream changes nothing of what it says."""
    cuts = sorted(round(place * len(vector.stream)) for place in places)
    edges = [0, *cuts, len(vector.stream)]
    assert_reads(vector, [vector.stream[start:end] for start, end in pairwise(edges)])
