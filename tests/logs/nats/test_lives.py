"""What the log in NATS does when the stream is another than it was, and when others are faster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.engines.nats import Nats
from tests.logs.nats.running import QUICK, Stream, ask, eventually, opened, refusal, way_to
from unbroken.logs import Draft, Log, Retention, open_log
from unbroken.logs.nats import heads, jetstream
from unbroken.logs.nats.connection import Connection
from unbroken.logs.nats.link import Link
from unbroken.logs.nats.record import Record, State
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything


class TestAnotherLife:
    @pytest.mark.parametrize("is_watched", [False, True])
    def test_nobody_appends_to_a_life_that_is_over(self, server: Nats, stream: Stream, is_watched: bool) -> None:
        """Where another process has made a deleted stream anew, an append goes into its epoch, behind its entries."""

        async def scenario() -> None:
            url = stream.at(server.url)
            async with opened(url) as (log, _):
                if is_watched:
                    await log.watch("t")
                await log.append("t", drafts(b"old"))
                await ask(server.url, f"STREAM.DELETE.{stream.name}")
                async with opened(url) as (other, _):
                    new = await other.append("t", drafts(b"1"))
                    after = await log.append("t", drafts(b"2"))
                    assert (after.epoch, after.position.seq) == (new.epoch, 2)
                    check_links(await everything(other, "t"), first=1)

        asyncio.run(scenario())

    def test_a_head_is_not_believed_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A head that was not confirmed for some time has to be read again."""
        known = heads.Heads()
        known.take("t", heads.Known.of(Record(state=State(epoch="e", idle_since=0), place=5)))
        assert known.get("t") is not None
        monkeypatch.setattr(heads, "TRUST", 0.0)
        assert known.get("t") is None

    def test_processes_that_start_at_once_have_one_stream(self, server: Nats, stream: Stream) -> None:
        """Whoever makes the stream, the others find it."""

        async def scenario() -> None:
            async def publish(number: int) -> None:
                async with opened(stream.at(server.url)) as (log, _):
                    await log.append("t", drafts(b"%d" % number))

            await asyncio.gather(*map(publish, range(6)))
            async with opened(stream.at(server.url)) as (log, _):
                check_links(await everything(log, "t"), first=1)
                assert (await log.head("t")).seq == 6

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        "call",
        [
            lambda log: log.append("t", drafts(b"1")),
            lambda log: log.read("t", 0, 1),
            lambda log: log.trim("t", Retention()),
            lambda log: log.topics(),
            lambda log: log.watch("t"),
        ],
        ids=["append", "read", "trim", "topics", "watch"],
    )
    def test_whoever_comes_first_makes_it_anew(
        self, server: Nats, stream: Stream, call: Callable[[Log], Awaitable[object]]
    ) -> None:
        """Each call makes a deleted stream anew, and goes on."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                await ask(server.url, f"STREAM.DELETE.{stream.name}")
                await call(log)
                assert "config" in await ask(server.url, f"STREAM.INFO.{stream.name}")

        asyncio.run(scenario())

    def test_the_heartbeat_makes_it_anew(self, server: Nats, stream: Stream) -> None:
        """Who only watches is told of a deleted stream by the heartbeat, which makes it anew."""

        async def scenario() -> None:
            async with opened(stream.at(server.url, **QUICK)) as (log, listener):
                await log.watch("t")
                await ask(server.url, f"STREAM.DELETE.{stream.name}")
                await listener.until(lambda: listener.troubles[1:] == [None], "trouble and its end")
                assert "there is no stream" in str(listener.troubles[0])
                assert None in listener.doubts
                async with opened(stream.at(server.url)) as (other, _):
                    await other.append("t", drafts(b"1"))
                await listener.until(lambda: bool(listener.entries("t")), "what is published then")

        asyncio.run(scenario())


class TestPurgedByHand:
    def test_entries_that_are_all_gone_are_not_told_of(self, server: Nats, stream: Stream) -> None:
        """Where all entries were purged and only the head is left, the page is empty and says so; a trim notes it."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                for number in range(6):
                    await log.append("t", drafts(b"%d" % number))
                await log.trim("t", Retention(max_events=4))
                await ask(server.url, f"STREAM.PURGE.{stream.name}", filter=f"{stream.prefix}.topic.t", keep=1)
                page = await log.read("t", 0, 10)
                assert (page.entries, page.head.first_seq, page.head.seq) == ((), 7, 6)
                await log.trim("t", Retention(max_events=1))
                assert (await log.head("t")).first_seq == 7

        asyncio.run(scenario())

    def test_a_trim_counts_what_is_left(self, server: Nats, stream: Stream) -> None:
        """Bytes that somebody purged are not counted: of what is left nothing goes that is within the bounds."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                for _ in range(20):
                    await log.append("t", drafts(b"x" * 100))
                await ask(server.url, f"STREAM.PURGE.{stream.name}", filter=f"{stream.prefix}.topic.t", keep=5)
                await log.trim("t", Retention(max_bytes=1000))
                assert [entry.seq for entry in await everything(log, "t")] == [16, 17, 18, 19, 20]
                await log.trim("t", Retention(max_bytes=300))
                assert [entry.seq for entry in await everything(log, "t")] == [18, 19, 20]

        asyncio.run(scenario())

    def test_a_page_beside_a_trim_is_of_one_moment(
        self, server: Nats, stream: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the entries are trimmed after the head was read, the page is read again."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _), opened(stream.at(server.url)) as (other, _):
                await log.append("t", drafts(b"1", b"2"))
                await log.trim("t", Retention(max_events=1))
                real = jetstream.JetStream.several

                async def several(self: jetstream.JetStream, *asked: str | int) -> object:
                    monkeypatch.undo()
                    await other.append("t", drafts(b"3"))
                    await other.trim("t", Retention(max_events=1))
                    return await real(self, *asked)  # type: ignore[arg-type]

                monkeypatch.setattr(jetstream.JetStream, "several", several)
                page = await log.read("t", 1, 10)
                assert [entry.payload for entry in page.entries] == [b"3"]
                assert (page.head.first_seq, page.head.seq) == (3, 3)

        asyncio.run(scenario())


class TestFasterOnes:
    def test_a_topic_is_trimmed_beside_a_busy_process(self, server: Nats, stream: Stream) -> None:
        """While another process appends without a pause, a trim comes through, and so do this process's appends."""

        async def scenario() -> None:
            url = stream.at(server.url)
            async with opened(url) as (log, _), opened(url) as (busy, _):
                for _ in range(10):
                    await log.append("t", [Draft(b"x")] * 100)
                await asyncio.gather(*[log.append("t", drafts(b"x")) for _ in range(300)])
                appending = asyncio.create_task(_append(busy))
                gone, _ = await asyncio.gather(
                    log.trim("t", Retention(max_events=1000)), log.append("t", drafts(b"own"))
                )
                appending.cancel()
                assert gone >= 300
                check_links(await everything(log, "t"), first=(await log.head("t")).first_seq)

        asyncio.run(scenario())

    def test_an_append_that_was_trimmed_is_not_made_again(self, server: Nats, stream: Stream) -> None:
        """Whose answer was lost, and whose entry was trimmed meanwhile, is told that it may have been appended."""

        async def scenario() -> None:
            async with way_to(server.port) as way, opened(stream.at(server.url)) as (other, listener):
                async with opened(stream.at(server.through(way.port))) as (log, _):
                    await log.append("t", drafts(b"first"))
                    await other.watch("t")
                    way.down.clear()
                    append = asyncio.create_task(refusal(log.append("t", drafts(b"once"))))
                    await listener.until(lambda: bool(listener.entries("t")), "the append")
                    await other.append("t", drafts(b"other"))
                    await other.trim("t", Retention(max_events=1))
                    way.cut()
                    way.down.set()
                    assert "it may be appended, or not" in await append
                assert [entry.payload for entry in await everything(other, "t")] == [b"other"]

        asyncio.run(scenario())


class TestTheWay:
    def test_other_peers_do_not_end_the_watch(self, server: Nats, stream: Stream) -> None:
        """Whatever answers at the server's port for a while, the log comes back when the server does."""

        async def scenario() -> None:
            async with (
                way_to(server.port) as way,
                opened(stream.at(server.through(way.port), **QUICK)) as (log, listener),
            ):
                way.others += [b"INFO []\r\n", b'INFO {"max_payload":1000,"version":"v9"}\r\nPONG\r\n']
                way.cut()
                await listener.until(lambda: bool(listener.troubles) and listener.troubles[-1] is None, "the end")
                assert way.count == 4
                await log.append("t", drafts(b"1"))

        asyncio.run(scenario())

    def test_a_peer_that_hangs_up_behind_a_full_buffer_does_not_end_the_watch(
        self, server: Nats, stream: Stream
    ) -> None:
        """When the peer has taken nothing for long and then says goodbye, the log makes another connection."""

        async def scenario() -> None:
            async with (
                way_to(server.port) as way,
                opened(stream.at(server.through(way.port), **QUICK)) as (log, listener),
            ):
                await asyncio.gather(*[log.append(f"{number}", drafts(b"1")) for number in range(16)])
                way.stall()
                appends = [asyncio.create_task(log.append(f"{n}", drafts(b"x" * 1_000_000))) for n in range(16)]
                await asyncio.wait(appends, timeout=0.05)
                for client in way.clients:
                    client.write_eof()
                await listener.until(lambda: bool(listener.troubles), "the loss")
                await asyncio.gather(*appends, return_exceptions=True)
                await eventually(lambda: _appends(log), "another connection")

        asyncio.run(scenario())

    def test_a_read_over_a_dead_connection_is_made_again(self, server: Nats, stream: Stream) -> None:
        """A connection that broke while nothing was said does not make the next read fail."""

        async def scenario() -> None:
            async with way_to(server.port) as way, opened(stream.at(server.through(way.port))) as (log, _):
                await log.append("t", drafts(b"1"))
                read = asyncio.create_task(log.read("t", 0, 1))
                await asyncio.sleep(0)
                way.cut()
                assert [entry.payload for entry in (await read).entries] == [b"1"]

        asyncio.run(scenario())

    def test_a_slow_way_is_slow_and_no_more(self, server: Nats, stream: Stream) -> None:
        """What takes longer than the log has patience with a silent server is read, over the same connection."""

        async def scenario() -> None:
            way = way_to(server.port, pace=0.02)
            async with way as slow, opened(stream.at(server.through(slow.port), timeout=1)) as (log, listener):
                await log.append("t", drafts(b"x" * 500_000))
                assert len((await log.read("t", 0, 1)).entries) == 1
                assert (slow.count, listener.troubles) == (1, [])

        asyncio.run(scenario())


class TestWatching:
    def test_a_cancelled_second_watch_leaves_the_first(self, server: Nats, stream: Stream) -> None:
        """Who gives up watching what is watched already takes it from nobody."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, listener), opened(stream.at(server.url)) as (other, _):
                await log.watch("t")
                second = asyncio.create_task(log.watch("t"))
                await asyncio.sleep(0)
                second.cancel()
                await asyncio.wait([second])
                await other.append("t", drafts(b"1"))
                await listener.until(lambda: bool(listener.entries("t")), "what was published")

        asyncio.run(scenario())

    def test_who_stops_to_watch_while_it_reconnects_is_not_told_twice_later(
        self, server: Nats, stream: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A topic that is unwatched while the log subscribes anew leaves no subscription behind."""

        async def scenario() -> None:
            async with way_to(server.port) as way, opened(stream.at(server.through(way.port))) as (log, listener):
                real = Link._resubscribe

                async def resubscribe(link: Link, connection: Connection) -> None:
                    await real(link, connection)
                    await log.unwatch("t")

                monkeypatch.setattr(Link, "_resubscribe", resubscribe)
                await log.watch("t")
                way.cut()
                await listener.until(lambda: bool(listener.troubles) and listener.troubles[-1] is None, "the end")
                await log.watch("t")
                await log.watch("end")
                await log.append("t", drafts(b"1"))
                await log.append("end", drafts(b"1"))
                await listener.until(lambda: bool(listener.entries("end")), "what came behind it")
                assert [told[0] for told in listener.told] == ["t", "end"]

        asyncio.run(scenario())

    @pytest.mark.soak
    def test_a_stop_beside_a_reconnect_ends(self, server: Nats, stream: Stream) -> None:
        """However a stop meets the keeper of the connection, it ends, and the log may be started again."""

        async def scenario() -> None:
            async with way_to(server.port) as way:
                settings = QUICK | {"timeout": 0.5, "heartbeat_interval": 0.1, "heartbeat_timeout": 0.1}
                log, listener = open_log(stream.at(server.through(way.port), **settings)), Recorder()
                for turns in range(300):
                    await log.start(listener)
                    listener.troubles.clear()
                    way.cut()
                    await listener.until(lambda: bool(listener.troubles), "the loss")
                    for _ in range(turns % 30):
                        await asyncio.sleep(0)
                    async with asyncio.timeout(5):
                        await log.stop()

        asyncio.run(scenario())


async def _append(log: Log) -> None:
    while True:
        await log.append("t", drafts(b"x"))


async def _appends(log: Log) -> bool:
    return (await log.append("t", drafts(b"1"))).position.seq > 0
