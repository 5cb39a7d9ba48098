"""The file: which one, whose, and what if it is full, locked, older, or another."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.logs.sqlite.running import appender, opened
from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs import Retention, open_log
from unbroken.logs.sqlite.place import place_of
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://events.db", "names no file"),
        ("sqlite:///:memory:", "give memory://"),
        ("sqlite:///e.db?synchronous=off", "neither full nor normal"),
        ("sqlite:///e.db?poll_interval=0", "give seconds, from 0.0005 to 60"),
        ("sqlite:///e.db?poll_interval=soon", "give seconds"),
        ("sqlite:///e.db?sync=full", "has no setting sync"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url: str, said: str) -> None:
    """Before anything is opened, with what to give instead."""
    with pytest.raises(ConfigurationError, match=said):
        open_log(url)


def test_a_url_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three slashes are relative to the working directory of now, four are absolute, and `%3F` is a question mark."""
    monkeypatch.chdir(tmp_path)
    urls = ("sqlite:///events.db", "sqlite:////var/lib/a%3Fb.db?poll_interval=0.02&synchronous=normal")
    relative, absolute = map(place_of, urls)
    assert relative.path == tmp_path / "events.db"
    assert (absolute.path, absolute.poll_interval, absolute.synchronous) == (Path("/var/lib/a?b.db"), 0.02, "normal")


def test_each_durability_says_what_it_loses() -> None:
    """With `synchronous=full`, the default, nothing; with `normal` the newest, when the power goes."""
    full, normal = open_log("sqlite:///e.db").guarantees, open_log("sqlite:///e.db?synchronous=normal").guarantees
    assert (full.survives_machine, normal.survives_machine) == (True, False)
    assert (full.survives_process, normal.survives_process) == (True, True)
    assert full.can_lose != normal.can_lose


def error_of(path: Path, settings: str = "") -> str:
    """Return what is said of a file that cannot be opened."""

    async def scenario() -> None:
        async with opened(f"sqlite:///{path}{settings}"):
            pass

    with pytest.raises(LogUnavailable) as caught:
        asyncio.run(scenario())
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The error says the path, and what is wrong with it."""
    assert f"there is no directory {tmp_path}/missing" in error_of(tmp_path / "missing" / "events.db")
    assert "that is a directory" in error_of(tmp_path)
    (tmp_path / "text").write_text("no database, but a text that is long enough to be taken for one" * 100)
    assert "that is no file of SQLite" in error_of(tmp_path / "text")


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    """A database with other tables is refused, and has no table more."""
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE users (name)")
    assert "another program's database" in error_of(path)
    assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("users",)]
    other.close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """A file of a later version is not written to: the error names both versions."""
    path = tmp_path / "events.db"
    asyncio.run(_append_one(f"sqlite:///{path}"))
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 9")
    later.close()
    assert "it has version 9 and this is made for 1" in error_of(path)


def test_a_locked_file_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    """While another program holds the lock an append fails in time; it can be read, and takes appends afterwards."""
    path = tmp_path / "events.db"

    async def scenario() -> None:
        async with opened(f"sqlite:///{path}?busy_timeout=0.05") as (log, _):
            await log.append("t", drafts(b"1"))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            results = await asyncio.gather(*(log.append("t", drafts(b"x")) for _ in range(3)), return_exceptions=True)
            assert [type(result) for result in results] == [LogUnavailable] * 3
            assert "another process has held its write lock for 0.05 s" in str(results[0])
            assert len(await everything(log, "t")) == 1
            other.execute("ROLLBACK")
            other.close()
            assert (await log.append("t", drafts(b"2"))).position.seq == 2

    asyncio.run(scenario())


def test_a_full_disk_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """When nothing more can be written the append raises `LogUnavailable`, and the file is whole."""
    url = f"sqlite:///{tmp_path}/events.db"
    with appender(url, 0, 20_000, "limit=1000000") as process:
        output, _ = process.communicate(timeout=30)
    *seen, error = output.splitlines()
    assert len(seen) > 5
    assert error.startswith("unavailable")
    assert str(tmp_path / "events.db") in error

    async def check() -> None:
        async with opened(url) as (log, _):
            entries = await everything(log, "t")
            check_links(entries, first=1)
            assert len(entries) == int(seen[-1])
            assert (await log.append("t", drafts(b"x"))).position.seq == int(seen[-1]) + 1

    asyncio.run(check())


def test_what_is_too_large_fails_alone(tmp_path: Path) -> None:
    """Of appends that are written together, the one for which there is no room fails, and the others succeed."""

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/events.db") as (log, _):
            await log.append("t", drafts(b"1"))
            await _bound(log, pages=60)
            payloads = (b"a", b"b", b"x" * 1_000_000, b"c")
            appends = [log.append("t", drafts(payload), key=payload[:1].decode()) for payload in payloads]
            results = await asyncio.gather(*appends, return_exceptions=True)
            assert [isinstance(result, LogUnavailable) for result in results] == [False, False, True, False]
            assert "free some room" in str(results[2])
            entries = await everything(log, "t")
            assert [entry.payload for entry in entries] == [b"1", b"a", b"b", b"c"]
            check_links(entries, first=1)

    asyncio.run(scenario())


def test_a_failed_group_loses_no_hint(tmp_path: Path) -> None:
    """What others had appended, and was found in a transaction that failed, is a doubt: it is not passed over."""
    url = f"sqlite:///{tmp_path}/events.db"

    async def scenario() -> None:
        async with opened(f"{url}?poll_interval=60") as (log, listener), opened(url) as (other, _):
            await log.watch("t")
            await _bound(log, pages=60)
            await other.append("t", drafts(b"theirs"))
            with pytest.raises(LogUnavailable):
                await log.append("t", drafts(b"x" * 1_000_000))
            await log.append("t", drafts(b"mine"))
            assert listener.doubts == [None]

    asyncio.run(scenario())


def test_a_file_that_was_set_back_shows(tmp_path: Path) -> None:
    """An older copy, restored into the open file, is a doubt; what is written anew has other links."""
    path = tmp_path / "events.db"

    async def scenario() -> None:
        async with opened(f"sqlite:///{path}") as (log, listener), opened(f"sqlite:///{path}") as (other, _):
            await log.append("t", drafts(b"1", b"2"))
            _backup(path, tmp_path / "copy.db")
            lost = await log.append("t", drafts(b"lost", b"lost too"))
            await log.watch("t")
            _backup(tmp_path / "copy.db", path)
            await listener.until(lambda: None in listener.doubts, "a doubt")
            anew = await other.append("t", drafts(b"anew", b"anew too", b"5"))
            await listener.until(lambda: 5 in listener.entries("t"), "what follows")
            assert anew.epoch == lost.epoch
            assert [entry.seq for entry in anew.entries[:2]] == [entry.seq for entry in lost.entries]
            assert anew.entries[0].previous == lost.entries[0].previous
            assert anew.entries[2].previous != lost.entries[1].tag

    asyncio.run(scenario())


def test_ids_that_are_given_anew_show(tmp_path: Path) -> None:
    """The doubt comes too when the file was set back and has been written to as far as it was, between two looks."""
    path = tmp_path / "events.db"

    async def scenario() -> None:
        async with (
            opened(f"sqlite:///{path}?poll_interval=60") as (log, listener),
            opened(f"sqlite:///{path}") as (other, _),
        ):
            await log.append("t", drafts(b"1"))
            _backup(path, tmp_path / "copy.db")
            await log.watch("t")
            await log.append("t", drafts(b"2", b"3"))
            _backup(tmp_path / "copy.db", path)
            await other.append("t", drafts(b"two", b"three"))
            assert listener.doubts == []
            await log.append("t", drafts(b"4"))
            assert listener.doubts == [None]

    asyncio.run(scenario())


def test_a_replaced_file_is_opened_anew(tmp_path: Path) -> None:
    """A file that was moved into the place is used from the next call on, and those who watch are in doubt."""
    path = tmp_path / "events.db"
    asyncio.run(_append_one(f"sqlite:///{path}"))
    shutil.copy(path, tmp_path / "copy.db")

    async def scenario() -> None:
        async with opened(f"sqlite:///{path}") as (log, listener):
            await log.append("t", drafts(b"lost"))
            assert (await log.head("t")).seq == 2
            await log.watch("t")
            for end in ("-wal", "-shm"):
                Path(f"{path}{end}").unlink()
            (tmp_path / "copy.db").replace(path)
            await listener.until(lambda: None in listener.doubts, "a doubt")
            assert (await log.head("t")).seq == 1
            assert (await log.append("t", drafts(b"anew"))).position.seq == 2

    asyncio.run(scenario())


def test_the_journal_is_bounded(tmp_path: Path) -> None:
    """However much is appended, and though nobody trims, SQLite's journal stays within a few megabytes."""
    path = tmp_path / "events.db"

    async def scenario() -> None:
        largest = 0
        async with opened(f"sqlite:///{path}?synchronous=normal") as (log, _):
            for _ in range(40):
                await log.append("t", drafts(b"x" * 500_000))
                largest = max(largest, _size(f"{path}-wal"))
        assert 1_000_000 < largest < 6_000_000

    asyncio.run(scenario())


def test_a_long_reader_does_not_hold_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program reads one old state, as a backup does, appends succeed, and the journal waits."""
    monkeypatch.setattr("unbroken.logs.sqlite.writer.CHECKPOINT_TIMEOUT", 0.01)
    monkeypatch.setattr("unbroken.logs.sqlite.writer.WAL_BYTES", 100_000)
    path = tmp_path / "events.db"

    async def scenario() -> None:
        async with opened(f"sqlite:///{path}?synchronous=normal") as (log, _):
            await log.append("t", drafts(b"1"))
            backup = sqlite3.connect(path, isolation_level=None)
            backup.execute("BEGIN")
            assert backup.execute("SELECT count(*) FROM entries").fetchone() == (1,)
            for _ in range(30):
                await log.append("t", drafts(b"x" * 50_000))
            assert _size(f"{path}-wal") > 1_000_000
            assert backup.execute("SELECT count(*) FROM entries").fetchone() == (1,)
            backup.close()
            for _ in range(60):
                await log.append("t", drafts(b"x" * 50_000))
            assert _size(f"{path}-wal") < 1_000_000

    asyncio.run(scenario())


def test_what_was_trimmed_leaves_room(tmp_path: Path) -> None:
    """The file does not grow with what was appended, but with what is kept."""
    path = tmp_path / "events.db"

    async def scenario() -> None:
        sizes = list[int]()
        for _ in range(4):
            async with opened(f"sqlite:///{path}?synchronous=normal") as (log, _):
                await log.append("t", drafts(*[b"x" * 1000] * 1000))
                await log.trim("t", Retention(max_events=10))
            sizes.append(_size(path))
        assert sizes[-1] < sizes[0] * 1.2

    asyncio.run(scenario())


def _size(path: Path | str) -> int:
    return Path(path).stat().st_size


async def _append_one(url: str) -> None:
    async with opened(url) as (log, _):
        await log.append("t", drafts(b"1"))


async def _bound(log: object, pages: int) -> None:
    """Let the writer's file have so many pages at most: to it, a full disk."""
    writer = log._writer  # type: ignore[attr-defined]
    await writer.submit(lambda _: writer._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())


def _backup(source: Path, target: Path) -> None:
    """Copy a file as SQLite does it, into one that may be open."""
    one, other = sqlite3.connect(source), sqlite3.connect(target)
    one.backup(other)
    one.close()
    other.close()


def test_a_file_that_is_away_for_a_moment_is_read_again(tmp_path: Path) -> None:
    """Each reading thread opens it anew: none goes on with a connection that it has closed."""
    path, away = tmp_path / "events.db", tmp_path / "away.db"

    async def main() -> None:
        async with opened(f"sqlite:///{path}") as (log, _):
            await log.append("t", drafts(b"x"))
            await asyncio.gather(*(log.read("t", 0, 10) for _ in range(32)))
            path.rename(away)
            for _ in range(8):
                with pytest.raises(LogUnavailable):
                    await log.read("t", 0, 10)
            away.rename(path)
            pages = [await log.read("t", 0, 10) for _ in range(20)]
            assert {len(page.entries) for page in pages} == {1}

    asyncio.run(main())


def test_an_opening_that_is_given_up_leaves_no_thread_behind(tmp_path: Path) -> None:
    """The file is locked by somebody else for longer than the caller likes to wait."""
    path = tmp_path / "events.db"
    before = set(threading.enumerate())

    async def main(other: sqlite3.Connection) -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(open_log(f"sqlite:///{path}?busy_timeout=10").start(Recorder()), 0.05)
        writers = [thread for thread in set(threading.enumerate()) - before if "writer" in thread.name]
        assert len(writers) == 3
        other.execute("ROLLBACK")
        for writer in writers:
            await asyncio.to_thread(writer.join, 10)
            assert not writer.is_alive()

    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        asyncio.run(main(other))
