"""What holds of cursors for every set of positions, and for every text that a client can send."""

from __future__ import annotations

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from unbroken.hub.cursor import MAX_CURSOR_CHARS, MAX_TOPICS, digest_of, pack, read_cursor, write_cursor
from unbroken.hub.numbering import Numbering
from unbroken.logs import Position
from unbroken.logs.position import MAX_SEQ

# A busy machine is no failure, so no example has a deadline.
every = settings(deadline=None)

tokens = st.binary(min_size=1, max_size=6).map(bytes.hex)
seqs = st.integers(1, MAX_SEQ) | st.sampled_from([1, 127, 128, 255, 256, 2**32, 2**53, MAX_SEQ])
begun = st.builds(Position, tokens, seqs, tokens)
positions = begun | st.builds(Position, tokens, st.just(0), st.just(""))
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
topics = st.dictionaries(names, positions, min_size=1, max_size=MAX_TOPICS)
keys = st.just(b"") | st.binary(min_size=1, max_size=32)


def write(places: dict[str, Position], key: bytes = b"") -> str:
    """Return the cursor over these topics."""
    return write_cursor([pack(digest_of(name), position) for name, position in places.items()], key)


@every
@given(places=topics, key=keys)
def test_a_cursor_says_what_was_written(places: dict[str, Position], key: bytes) -> None:
    """For 1 to 32 topics, from before the first event to the last that an engine can count."""
    assert read_cursor(write(places, key), key) == {digest_of(name): position for name, position in places.items()}


@every
@given(position=positions)
def test_a_position_says_what_was_written(position: Position) -> None:
    """The cursor of one topic."""
    assert read_cursor(str(position), b"") == position


@every
@given(places=topics, seed=st.integers(0, 1000))
def test_the_order_of_topics_means_nothing(places: dict[str, Position], seed: int) -> None:
    """Another route may list the same topics otherwise: each is found by its name."""
    shuffled = list(places)
    random.Random(seed).shuffle(shuffled)
    cursor = read_cursor(write(places), b"")
    assert cursor is not None
    found = Numbering(shuffled, b"").positions(cursor, [""] * len(shuffled))
    assert [found[at] for at in range(len(shuffled))] == [places[name] for name in shuffled]


@every
@given(places=topics, where=st.floats(0, 1), character=st.characters(codec="utf-8"))
def test_a_cursor_with_a_damaged_character_says_nothing_else(
    places: dict[str, Position], where: float, character: str
) -> None:
    """It is none; or, where the character carries no bit of it (base64 has such at its end), what it was."""
    text = write(places)
    at = min(int(where * len(text)), len(text) - 1)
    damaged = text[:at] + character + text[at + 1 :]
    assert read_cursor(damaged, b"") in (None, read_cursor(text, b""))
    if at < len(text) - 1 and character != text[at] and character not in "+/":
        assert read_cursor(damaged, b"") is None


@every
@given(places=topics, data=st.data())
def test_a_cursor_that_was_cut_or_lengthened_is_none(places: dict[str, Position], data: st.DataObject) -> None:
    """As a proxy or a page's own code may do it."""
    text = write(places)
    end = data.draw(st.integers(0, len(text) - 1))
    assert read_cursor(text[:end], b"") is None
    assert read_cursor(text + data.draw(st.text("Aa0-_", min_size=1, max_size=5)), b"") is None


@every
@given(places=topics, key=keys, other=keys)
def test_a_cursor_of_another_key_is_none(places: dict[str, Position], key: bytes, other: bytes) -> None:
    """Signed is signed."""
    assert (read_cursor(write(places, key), other) is None) == (key != other)


@every
@given(text=st.text() | st.text("v1.ABCDEFabcdef0123456789-_=").map(lambda text: f"v1.{text}"), key=keys)
@example(text="v1.", key=b"")
@example(text="\ud800", key=b"")
@example(text="v1.\udcff", key=b"k")
def test_arbitrary_text_never_raises(text: str, key: bytes) -> None:
    """It is a position, or nothing."""
    cursor = read_cursor(text, key)
    assert cursor is None or isinstance(cursor, Position)


@every
@given(body=st.binary(max_size=300))
def test_a_made_up_body_never_raises(body: bytes) -> None:
    """Without a secret anybody can seal a body; what it says is bounded, or nothing."""
    cursor = read_cursor(write_cursor([body], b""), b"")
    assert cursor is None or (not isinstance(cursor, Position) and 0 < len(cursor) <= MAX_TOPICS)


@every
@given(text=st.text(min_size=MAX_CURSOR_CHARS + 1, max_size=MAX_CURSOR_CHARS + 5))
def test_what_is_too_long_is_none(text: str) -> None:
    """Whatever it says."""
    assert read_cursor(text, b"") is None
    assert read_cursor("v1." + text, b"") is None
