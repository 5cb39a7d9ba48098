"""The vectors of `tests/conformance` over real HTTP, for each client: whole, and in chunks of one byte."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.conformance.serving import CUTS, serving
from tests.conformance.vectors import VECTORS, Vector

from benchmarks.clients.readers import Fields, Reader

__all__ = ["Conformance", "conformance"]


@dataclass(frozen=True, slots=True)
class Conformance:
    """Which vectors a client reads otherwise than the standard has it, for each way in which they were sent."""

    vectors: int
    failed: dict[str, list[str]]


def conformance(readers: dict[str, Reader], step: int, say: Callable[[str], None]) -> dict[str, Conformance]:
    """Read every vector, or every `step`th, with every client."""
    with serving() as url, _quiet():
        return {name: _of(name, reader, url, VECTORS[::step], say) for name, reader in readers.items()}


def _of(name: str, reader: Reader, url: str, vectors: tuple[Vector, ...], say: Callable[[str], None]) -> Conformance:
    say(f"conformance {name}")
    failed = {
        cut: [vector.id for vector in vectors if _read(reader, f"{url}/{cut}/{vector.id}") != _fields(vector)]
        for cut in CUTS
    }
    return Conformance(len(vectors), failed)


def _read(reader: Reader, url: str) -> list[Fields] | None:
    try:
        return [reader.fields(event) for event in reader.read(url)]
    except Exception:  # noqa: BLE001 - whatever a client raises, it has not read the vector
        return None


def _fields(vector: Vector) -> list[Fields]:
    return [(event.event, event.data, event.last_event_id) for event in vector.events]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Some clients log each line that they do not understand.
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
