"""Where a client keeps its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unbroken.client.stores import MAX_ID_BYTES, FileStore, MemoryStore, as_store
from unbroken.errors import ConfigurationError


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_keeps_the_id(tmp_path: Path, durable: bool) -> None:
    """What was saved last is there for another store of the same file; nothing else is left in its folder."""
    store = FileStore(tmp_path / "cursor", durable=durable)
    assert store.load() is None
    for last_event_id in ("1", "ü" * 300, " 2 ", "\ufffd", "", "x" * MAX_ID_BYTES):
        store.save(last_event_id)
        assert FileStore(tmp_path / "cursor").load() == (last_event_id or None)
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]


@pytest.mark.parametrize("content", [b"a\nb", b"a\0", b"\xff", b"x" * (MAX_ID_BYTES + 1)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is none of ours is neither taken for an id nor written over."""
    path = tmp_path / "cursor"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no last event ID"):
        FileStore(path).load()
    assert path.read_bytes() == content


def test_an_id_beyond_the_bound_is_not_saved(tmp_path: Path) -> None:
    """What could not be loaded is not saved, and what was saved before stays."""
    store = FileStore(tmp_path / "cursor")
    store.save("1")
    with pytest.raises(ConfigurationError, match="65537 bytes was not saved"):
        store.save("x" * (MAX_ID_BYTES + 1))
    assert store.load() == "1"


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A folder that is missing, and a path that is a folder, are said with their path."""
    missing = FileStore(tmp_path / "missing" / "cursor")
    assert missing.load() is None
    with pytest.raises(ConfigurationError, match="No such file"):
        missing.save("1")
    with pytest.raises(ConfigurationError, match="directory"):
        FileStore(tmp_path).load()
    with pytest.raises(ConfigurationError, match="the place was not saved"):
        FileStore(tmp_path).save("1")
    assert list(tmp_path.iterdir()) == []


def test_what_stands_for_a_store(tmp_path: Path) -> None:
    """A path, an object with both methods, or a callable for each id."""
    saved: list[str] = []
    memory = MemoryStore("5")
    assert as_store(None) is None
    assert as_store(memory) is memory
    for path in (tmp_path / "a", os.fspath(tmp_path / "b")):
        assert isinstance(as_store(path), FileStore)
    calling = as_store(saved.append)
    assert calling is not None
    assert calling.load() is None
    calling.save("7")
    assert saved == ["7"]


def test_memory_keeps_the_id() -> None:
    """For another client of the same program."""
    store = MemoryStore()
    assert store.load() is None
    store.save("1")
    assert store.load() == "1"
