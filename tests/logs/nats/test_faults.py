"""What the log in NATS does when the server, or the way to it, fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.engines.nats import Nats
from tests.logs.nats.running import QUICK, Stream, ask, eventually, opened, refusal
from unbroken.errors import LogUnavailable
from unbroken.logs import Log, Retention
from unbroken.logs.contract import NewKey
from unbroken.logs.nats.writer import Writer
from unbroken.testing import Fault, ThreadedFaultProxy, running_proxy
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything

PASSWORD = "a:b@c/d%41"

MANY_KEYS = 30
"""More than a head holds: the server keeps some as messages of their own, in which a key is looked for."""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """Run a server that asks for a password, and takes small messages."""
    settings = f'authorization {{ user: "me", password: "{PASSWORD}" }}\nmax_payload: 65536'
    with Nats(tmp_path_factory.mktemp("strict"), settings=settings) as engine:
        yield engine


def _as(engine: Nats, stream: Stream, password: str = PASSWORD) -> str:
    return stream.at(engine.url.replace("//", f"//me:{quote(password, safe='')}@"))


async def _heard(log: Log, listener: Recorder, payload: bytes) -> None:
    """Check that what is published from now on is heard, without a look at the log."""
    await log.append("t", drafts(payload))
    await listener.until(
        lambda: any(entry.payload == payload for entry in listener.entries("t").values()), f"{payload!r}"
    )


async def _back(log: Log) -> None:
    async def answers() -> bool:
        return await log.topics() is not None

    await eventually(answers, "the server")


async def _back_again(log: Log, listener: Recorder) -> None:
    await listener.until(lambda: bool(listener.troubles) and listener.troubles[-1] is None, "the end of the trouble")
    await _back(log)


class TestRestart:
    def test_what_was_acknowledged_is_there_after_a_kill(self, own: Nats, stream: Stream) -> None:
        """With storage in files a server that was killed has every event that was acknowledged, and every key."""

        async def scenario() -> None:
            async with opened(stream.at(own.url, **QUICK)) as (log, listener):
                await log.watch("t")
                made = [await log.append("t", drafts(b"%d" % number), key=f"{number}") for number in range(50)]
                await asyncio.to_thread(own.restart)
                await _back_again(log, listener)
                entries = await everything(log, "t")
                assert [entry.payload for entry in entries] == [b"%d" % number for number in range(50)]
                for number in (0, 25, 49):
                    assert (await log.append("t", drafts(b"x"), key=f"{number}")).position == made[number].position
                await listener.until(lambda: None in listener.doubts, "a doubt about all")
                await _heard(log, listener, b"after")
                assert listener.troubles[0] is not None

        asyncio.run(scenario())

    def test_from_memory_another_epoch_begins(self, own: Nats, stream: Stream) -> None:
        """A stream in memory is empty after a restart: that shows by another epoch, and watching goes on."""

        async def scenario() -> None:
            async with opened(stream.at(own.url, storage="memory", **QUICK)) as (log, listener):
                await log.watch("t")
                before = await log.append("t", drafts(b"1"), key="k")
                await asyncio.to_thread(own.restart)
                await _back_again(log, listener)
                head = await log.head("t")
                assert (head.seq, head.epoch != before.epoch) == (0, True)
                assert not (await log.append("t", drafts(b"1"), key="k")).duplicate
                await _heard(log, listener, b"after")

        asyncio.run(scenario())

    def test_a_lost_disk_begins_other_epochs(self, own: Nats, stream: Stream) -> None:
        """A server that came back without its data gets a new stream, whose topics have other epochs."""

        async def scenario() -> None:
            async with opened(stream.at(own.url, **QUICK)) as (log, listener):
                await log.watch("t")
                before = await log.append("t", drafts(b"1"))
                await asyncio.to_thread(own.lose)
                await _back_again(log, listener)
                after = await log.append("t", drafts(b"2"))
                assert (after.position.seq, after.epoch != before.epoch) == (1, True)
                await _heard(log, listener, b"after")

        asyncio.run(scenario())

    def test_an_older_copy_shows_by_its_links(self, own: Nats, tmp_path: Path, stream: Stream) -> None:
        """After a restored copy the same numbers carry other tags, in the same epoch."""

        async def scenario() -> None:
            async with opened(stream.at(own.url, **QUICK)) as (log, listener):
                first = await log.append("t", drafts(b"1", b"2"))
                await asyncio.to_thread(own.copy, tmp_path / "copy")
                await _back_again(log, listener)
                lost = await log.append("t", drafts(b"3", b"4"))
                listener.troubles.clear()
                await asyncio.to_thread(own.restore, tmp_path / "copy")
                await _back_again(log, listener)
                assert (await log.head("t")).position == first.position
                again = await log.append("t", drafts(b"other 3", b"other 4"))
                assert (again.epoch, again.position.seq) == (lost.epoch, lost.position.seq)
                assert again.position.tag != lost.position.tag
                check_links(await everything(log, "t"), first=1)

        asyncio.run(scenario())

    def test_a_stream_that_was_deleted_is_made_anew(self, server: Nats, stream: Stream) -> None:
        """When somebody deletes the stream, publishing goes on in another epoch, and watchers are told to look."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, listener):
                await log.watch("t")
                before = await log.append("t", drafts(b"1"))
                assert (await ask(server.url, f"STREAM.DELETE.{stream.name}"))["success"]
                after = await log.append("t", drafts(b"2"))
                assert (after.position.seq, after.epoch != before.epoch) == (1, True)
                assert None in listener.doubts
                await _heard(log, listener, b"after")

        asyncio.run(scenario())

    def test_what_somebody_purged_is_passed_over(self, server: Nats, stream: Stream) -> None:
        """Where the oldest messages were purged by hand, the first entry that is left is the first retained."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                for number in range(6):
                    await log.append("t", drafts(b"%d" % number))
                await ask(server.url, f"STREAM.PURGE.{stream.name}", filter=f"{stream.prefix}.topic.t", keep=2)
                page = await log.read("t", 1, 10)
                assert [entry.seq for entry in page.entries] == [5, 6]
                assert page.head.first_seq == 5

        asyncio.run(scenario())


class TestRefusal:
    def test_a_full_store_refuses_and_appends_nothing(self, own: Nats, stream: Stream) -> None:
        """With its storage used up an append says that nothing was kept; reading goes on, and trimming makes room."""

        async def scenario() -> None:
            async with opened(stream.at(own.url)) as (log, _):
                await log.append("t", drafts(b"1"))
                text = await _filled(log)
                assert "nothing of it was kept" in text
                check_links(await everything(log, "t"), first=1)
                before = (await log.head("t")).seq
                assert await refusal(log.append("t", drafts(b"x" * 60_000), key="k"))
                assert (await log.head("t")).seq == before
                assert await log.trim("t", Retention(max_events=2)) == before - 2
                assert (await log.head("t")).first_seq == before - 1
                assert not (await log.append("t", drafts(b"x" * 60_000), key="k")).duplicate

        own.jetstream = "max_file_store: 300KB"
        own.restart()
        asyncio.run(scenario())

    def test_a_server_that_is_away_is_said(self, own: Nats, stream: Stream) -> None:
        """While the server is away the start raises, names it, and shows no password."""

        async def scenario() -> None:
            url = stream.at(own.url.replace("//", "//somebody:secret-word@"), timeout=0.5)
            text = await refusal(opened(url).__aenter__())
            assert f"127.0.0.1:{own.port}" in text
            assert "secret-word" not in text

        own.kill()
        asyncio.run(scenario())

    def test_a_server_that_lets_us_not_in_is_said(self, strict: Nats, stream: Stream) -> None:
        """With a wrong password the start says so, or that it may be; for the server's word is lost now and then."""
        text = asyncio.run(refusal(opened(_as(strict, stream, "wrong")).__aenter__()))
        assert "Authorization Violation" in text or "look at user and password" in text
        assert "wrong" not in text

    def test_a_password_may_have_any_character(self, strict: Nats, stream: Stream) -> None:
        """What a URL cannot have as it is, is written with percent signs."""

        async def scenario() -> None:
            async with opened(_as(strict, stream)) as (log, _):
                await log.append("t", drafts(b"1"))

        asyncio.run(scenario())

    @pytest.mark.parametrize(("count", "size"), [(950, 34), (900, 0), (1, 500_000)])
    def test_a_small_max_payload_is_kept_to(self, strict: Nats, stream: Stream, count: int, size: int) -> None:
        """Batches of many small events, and large events, fit into the messages that the server takes."""

        async def scenario() -> None:
            async with opened(_as(strict, stream)) as (log, _):
                await log.append("t", drafts(*[b"x" * size] * count))
                assert [len(entry.payload) for entry in await everything(log, "t")] == [size] * count

        asyncio.run(scenario())

    def test_a_stream_without_batches_is_said(self, server: Nats, stream: Stream) -> None:
        """When somebody takes atomic batches from the stream, a large append says so at once."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                info = await ask(server.url, f"STREAM.INFO.{stream.name}")
                await ask(server.url, f"STREAM.UPDATE.{stream.name}", **{**info["config"], "allow_atomic": False})
                assert "error 10174" in await refusal(log.append("t", drafts(b"x" * 100_000)))

        asyncio.run(scenario())


class TestConnections:
    @pytest.mark.parametrize("fault", [Fault.RST, Fault.FIN, Fault.SWALLOW, Fault.FREEZE])
    def test_a_broken_way_is_noticed(self, server: Nats, stream: Stream, fault: Fault) -> None:
        """However the connection breaks, also silently: it is told, what was missed is a doubt, and it hears again."""

        async def scenario(proxy: ThreadedFaultProxy) -> None:
            url = stream.at(server.through(proxy.port), **QUICK)
            async with opened(url) as (log, listener), opened(stream.at(server.url)) as (other, _):
                await log.watch("t")
                await _heard(other, listener, b"before")
                proxy.strike(fault)
                await other.append("t", drafts(b"missed"))
                await listener.until(lambda: None in listener.doubts, "a doubt about all")
                assert listener.troubles[0]
                await _back_again(log, listener)
                await _heard(other, listener, b"after")
                assert [e.payload for e in await everything(log, "t")] == [b"before", b"missed", b"after"]

        with running_proxy("127.0.0.1", server.port) as proxy:
            asyncio.run(scenario(proxy))

    @pytest.mark.parametrize("fault", [Fault.RST, Fault.SWALLOW])
    def test_a_publish_over_a_dead_connection_arrives(self, server: Nats, stream: Stream, fault: Fault) -> None:
        """A connection that died while nothing was said does not make the next publish fail."""

        async def scenario(proxy: ThreadedFaultProxy) -> None:
            async with opened(stream.at(server.through(proxy.port), timeout=3)) as (log, _):
                await log.append("t", drafts(b"1"))
                proxy.strike(fault)
                appended = await log.append("t", drafts(b"2"))
                assert appended.position.seq == 2
                check_links(await everything(log, "t"), first=1)

        with running_proxy("127.0.0.1", server.port) as proxy:
            asyncio.run(scenario(proxy))

    @pytest.mark.parametrize(
        ("key", "earlier"), [(None, 1), ("k", 1), (NewKey("k"), MANY_KEYS)], ids=["none", "given", "new"]
    )
    def test_a_lost_answer_makes_no_duplicate(self, own: Nats, stream: Stream, key: str | None, earlier: int) -> None:
        """An append that the server makes after its connection broke is made once, and returns as if nothing was."""

        async def scenario(proxy: ThreadedFaultProxy) -> None:
            async with opened(stream.at(own.through(proxy.port))) as (log, _):
                for number in range(earlier):
                    await log.append("t", drafts(b"first"), key=f"{number}")
                before = _sent(proxy)
                own.freeze()
                task = asyncio.create_task(log.append("t", drafts(b"1", b"2"), key=key))
                await _until(lambda: _sent(proxy) > before + 100)
                proxy.strike(Fault.RST)
                await _until(lambda: len(proxy.connections) > 1)  # it comes again
                own.thaw()
                appended = await task
                assert (appended.duplicate, appended.position.seq) == (False, earlier + 2)
                entries = (await everything(log, "t"))[earlier - 1 :]
                assert [entry.payload for entry in entries] == [b"first", b"1", b"2"]
                assert tuple(entries[1:]) == appended.entries

        with running_proxy("127.0.0.1", own.port) as proxy:
            asyncio.run(scenario(proxy))

    def test_a_new_key_is_kept_and_not_looked_for(
        self, server: Nats, stream: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That saves a question for each event of a hub; whoever comes with it again finds what it was used for."""
        asked, used = list[str](), Writer._used

        async def noted(writer: Writer, digest: str) -> object:
            asked.append(digest)
            return await used(writer, digest)

        monkeypatch.setattr(Writer, "_used", noted)

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                made = [await log.append("t", drafts(b"x"), key=NewKey(f"{n}")) for n in range(MANY_KEYS)]
                assert not asked
                again = [await log.append("t", drafts(b"x"), key=f"{n}") for n in range(MANY_KEYS)]
                assert [it.position for it in again] == [it.position for it in made]
                assert all(it.duplicate for it in again)
                assert asked

        asyncio.run(scenario())

    def test_what_was_given_up_is_not_sent_later(self, own: Nats, stream: Stream) -> None:
        """An append that raised while the server was away is not made when it is back."""

        async def scenario() -> None:
            async with opened(stream.at(own.url, **QUICK | {"timeout": 0.3})) as (log, listener):
                await log.append("t", drafts(b"1"))
                await asyncio.to_thread(own.kill)
                for _ in range(3):
                    assert "127.0.0.1" in await refusal(log.append("t", drafts(b"given up")))
                await asyncio.to_thread(own.start)
                await _back_again(log, listener)
                await log.append("t", drafts(b"2"))
                assert [entry.payload for entry in await everything(log, "t")] == [b"1", b"2"]

        asyncio.run(scenario())

    def test_a_frozen_server_holds_nobody_up(self, own: Nats, stream: Stream) -> None:
        """Each call raises within its deadline, and so does a stop; after that the log may be started again."""

        async def scenario() -> None:
            async with opened(stream.at(own.url, **QUICK | {"timeout": 0.3})) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                own.freeze()
                for call in (log.append("t", drafts(b"2")), log.head("t"), log.topics(), log.watch("other")):
                    assert "within 0.3 s" in await refusal(call)
                await listener.until(lambda: bool(listener.troubles), "trouble")
            own.thaw()
            await log.start(listener)
            assert (await everything(log, "t"))[0].payload == b"1"
            await log.stop()

        asyncio.run(scenario())

    def test_a_cancelled_caller_harms_nobody(self, server: Nats, stream: Stream) -> None:
        """Callers that are cancelled at any moment leave the connection as it is, and others their answers."""

        async def scenario(proxy: ThreadedFaultProxy) -> None:
            async with opened(stream.at(server.through(proxy.port))) as (log, listener):
                for turns in range(6):
                    tasks = [asyncio.create_task(_both(log, number)) for number in range(40)]
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    for task in tasks[::2]:
                        task.cancel()
                    done = await asyncio.gather(*tasks, return_exceptions=True)
                    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False] * 20
                check_links(await everything(log, "t"), first=1)
                assert (len(proxy.connections), listener.troubles) == (1, [])

        with running_proxy("127.0.0.1", server.port) as proxy:
            asyncio.run(scenario(proxy))


def _sent(proxy: ThreadedFaultProxy) -> int:
    return sum(connection.bytes_to_server for connection in proxy.connections)


async def _filled(log: Log) -> str:
    for _ in range(100):
        try:
            await log.append("t", drafts(b"x" * 60_000))
        except LogUnavailable as error:
            return str(error)
    raise AssertionError("it is never full")


async def _until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return await asyncio.to_thread(condition)

    await eventually(holds, "the condition")


async def _both(log: Log, number: int) -> None:
    await log.append("t", drafts(b"%d" % number))
    await log.read("t", 0, 5)
