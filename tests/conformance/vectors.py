"""What the standard says of an event stream, clause by clause, each with bytes that show it.

The clauses are those of WHATWG HTML (9.2.5 Parsing an event stream, 9.2.6
Interpreting an event stream) and of the Encoding standard (UTF-8 decode).
"""

from __future__ import annotations

from .field_vectors import FIELD_VECTORS
from .text_vectors import TEXT_VECTORS
from .vector import Vector

__all__ = ["VECTORS", "Vector"]

VECTORS = TEXT_VECTORS + FIELD_VECTORS
