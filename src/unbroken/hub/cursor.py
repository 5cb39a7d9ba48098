"""One id for the positions in several topics: what a browser sends back must say it all.

A cursor over one topic is the position itself. Over several it is `v1.` and, in base64url, for
each topic a digest of its name, the position, and at the end a digest of the whole. A damaged or mixed up one
is seen by that; one that was made up is seen because every position in it has a tag, which is random. With a key
(`Hub(secret=…)`) the last digest is a signature.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from hashlib import blake2s

from unbroken.logs.position import MAX_SEQ, Position

__all__ = ["MAX_CURSOR_CHARS", "MAX_TOPICS", "digest_of", "pack", "read_cursor", "unpack", "write_cursor"]

MAX_TOPICS = 32
"""Topics of one connection: the cursor stands in each event, and comes back in a request's header."""

MAX_CURSOR_CHARS = 2048
"""A full cursor of 32 topics has about 1,300 characters; servers take headers of 8 KiB and more."""

PREFIX = "v1."
DIGEST_BYTES = 6
SEAL_BYTES = 8

Digest = bytes


def digest_of(topic: str) -> Digest:
    """Return what stands for a topic's name in a cursor."""
    return blake2s(topic.encode(), digest_size=DIGEST_BYTES).digest()


def pack(digest: Digest, position: Position) -> bytes:
    """Return one topic's part of a cursor."""
    epoch, tag = bytes.fromhex(position.epoch), bytes.fromhex(position.tag)
    seq = position.seq.to_bytes(max(1, (position.seq.bit_length() + 7) // 8), "big")
    return digest + bytes((len(epoch) << 4 | len(tag), len(seq))) + epoch + seq + tag


def write_cursor(parts: Sequence[bytes], key: bytes) -> str:
    """Return the cursor over the packed `parts` of several topics."""
    body = b"".join(parts)
    return PREFIX + base64.urlsafe_b64encode(body + _seal(body, key)).rstrip(b"=").decode()


def read_cursor(text: str, key: bytes) -> Position | Mapping[Digest, Position] | None:
    """Return the position, or the position for each topic's digest, that a client's text stands for; None for neither.

    The text may be anything, and as long as a server lets it be.
    """
    if len(text) > MAX_CURSOR_CHARS:
        return None
    return _read_composite(text[len(PREFIX) :], key) if text.startswith(PREFIX) else Position.parse(text)


def _read_composite(text: str, key: bytes) -> Mapping[Digest, Position] | None:
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body, seal = whole[:-SEAL_BYTES], whole[-SEAL_BYTES:]
    return unpack(body) if hmac.compare_digest(seal, _seal(body, key)) else None


def unpack(body: bytes) -> Mapping[Digest, Position] | None:
    """Return the positions in a cursor's body, or None if it is none."""
    positions: dict[Digest, Position] = {}
    at = 0
    while at < len(body) and len(positions) < MAX_TOPICS:
        part = _unpack_one(body, at)
        if part is None:
            return None
        digest, position, at = part
        positions[digest] = position
    return positions if positions and at == len(body) else None


def _unpack_one(body: bytes, at: int) -> tuple[Digest, Position, int] | None:
    header = at + DIGEST_BYTES
    if header + 2 > len(body):
        return None
    lengths, seq_length = body[header], body[header + 1]
    epoch_end = header + 2 + (lengths >> 4)
    seq_end = epoch_end + seq_length
    end = seq_end + (lengths & 15)
    if end > len(body):
        return None
    seq = int.from_bytes(body[epoch_end:seq_end], "big")
    position = Position(body[header + 2 : epoch_end].hex(), min(seq, MAX_SEQ), body[seq_end:end].hex())
    return body[at:header], position, end


def _seal(body: bytes, key: bytes) -> bytes:
    return blake2s(body, digest_size=SEAL_BYTES, key=key).digest()
