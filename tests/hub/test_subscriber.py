"""One response that reads topics: how it begins, goes live, falls behind, and ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, turns, until
from unbroken.errors import CloseReason
from unbroken.hub import Grant, Hub
from unbroken.observe import Cleanup
from unbroken.testing import StreamEnd
from unbroken.wire import HEARTBEAT, Decoder

WAYS = (pytest.param(lambda app: app, id="woken"), pytest.param(stepped, id="stepped"))
"""A server that is not known has each member woken by a flush; of one that is, `send` is stepped."""


def texts(received: bytes) -> list[str]:
    """Return the data of all events in a body."""
    return [event.data for event in Decoder().feed(received)]


@pytest.mark.parametrize("way", WAYS)
def test_a_client_without_a_cursor_is_primed_and_gets_what_comes(way: Any) -> None:
    """The first block is an id alone; then each event stands there once, with its position as id."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await hub.publish("t", "before")
            here = await hub.position("t")
            async with opened(way(Endpoint(hub, "t"))) as stream:
                await stream.until(lambda: bool(stream.received))
                assert stream.received == f"id: {here}\n\n".encode()
                assert stream.headers["stream-resume"] == "none"
                positions = [await hub.publish("t", str(number)) for number in range(3)]
                events = await stream.events(3)
                assert [event.data for event in events] == ["0", "1", "2"]
                assert [event.last_event_id for event in events] == list(map(str, positions))

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_what_is_published_in_one_turn_leaves_in_one_body(way: Any) -> None:
    """The bytes are exactly the priming id and the blocks, whichever way they were written."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            here = await hub.position("t")
            async with opened(way(Endpoint(hub, "t"))) as stream:
                await until(lambda: hub.stats().live == 1)
                one = await hub.publish("t", {"n": 1}, event="n")
                two = await hub.publish("t", "a\nb")
                await stream.events(2)
                assert (
                    stream.received
                    == (
                        f'id: {here}\n\nid: {one}\nevent: n\ndata: {{"n":1}}\n\nid: {two}\ndata: a\ndata: b\n\n'
                    ).encode()
                )

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_cursor_gets_what_was_missed_and_then_what_comes(way: Any) -> None:
    """Replay and live follow each other without a hole or a repetition; the header says that nothing is missing."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            positions = [await hub.publish("t", str(number)) for number in range(400)]  # more than the ring holds
            async with opened(way(Endpoint(hub, "t")), str(positions[9])) as stream:
                replayed = await stream.events(390)
                await hub.publish("t", "live")
                assert [event.data for event in replayed] == [str(number) for number in range(10, 400)]
                assert (await stream.next_event()).data == "live"
                assert stream.headers["stream-resume"] == "complete"
                assert stream.received.startswith(f"id: {positions[9]}\n\n".encode())

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_lost_or_repeated_while_clients_join_among_publishers(way: Any) -> None:
    """Publishers and joining clients share the loop's turns in every order: each client gets a run without a hole."""

    async def publisher(hub: Hub, start: asyncio.Event) -> None:
        await start.wait()
        for number in range(30):
            await hub.publish("t", str(number))
            await turns(number % 3)

    async def client(hub: Hub, cursor: str, delay: int, start: asyncio.Event) -> list[int]:
        await start.wait()
        await turns(delay)
        async with opened(way(Endpoint(hub, "t")), cursor) as stream:
            events = await stream.events(90)
            return [int(event.last_event_id.split(".")[1]) for event in events]

    async def main() -> None:
        async with Hub("memory://") as hub:
            start, cursor = asyncio.Event(), await hub.position("t")
            tasks = [client(hub, cursor, delay, start) for delay in range(40)]
            publishers = [publisher(hub, start) for _ in range(3)]
            together = asyncio.gather(*tasks, *publishers)
            await turns()
            start.set()
            got = await together
            for seen in got[:40]:
                assert seen == list(range(1, 91))

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_gap_is_told_in_the_stream_and_in_the_header(way: Any) -> None:
    """The gap comes first, without an id; then what there is. The stream is not primed: the gap is not yet known."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            positions = [await hub.publish("t", str(number)) for number in range(10)]
            await log.keep_newest("t", 3)
            app = Endpoint(hub, "t")
            async with opened(way(app), str(positions[1])) as stream:
                gap, *events = await stream.events(4)
                assert gap.event == "stream-gap"
                assert gap.last_event_id == ""
                assert json.loads(gap.data) == {
                    "reason": "trimmed", "topic": "t", "after": str(positions[1]), "next": str(positions[7]),
                    "missed": 5,
                }  # fmt: skip
                assert [event.data for event in events] == ["7", "8", "9"]
                assert stream.headers["stream-resume"] == "gap; reason=trimmed; missed=5"
            assert app.record.events == 4
            assert hub.stats().gaps == {"trimmed": 1}
            assert hub.stats().resumes == {"gap": 1}

    run(main())


def test_a_gap_that_was_told_is_not_told_again() -> None:
    """Behind the first event after the gap the client has a cursor that is complete."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "lost")
            log.lose()
            log.on_doubt(None)
            await hub.publish("t", "new")
            async with opened(Endpoint(hub, "t"), str(first)) as stream:
                gap, event = await stream.events(2)
                assert json.loads(gap.data)["reason"] == "epoch"
            async with opened(Endpoint(hub, "t"), event.last_event_id) as stream:
                assert stream.headers["stream-resume"] == "complete"
                assert stream.received == f"id: {event.last_event_id}\n\n".encode()

    run(main())


def test_a_gap_while_live_is_told_in_its_place() -> None:
    """A log that loses its history under a live stream: the stream is told, and goes on with the new one."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            async with opened(stepped(Endpoint(hub, "t"))) as stream:
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "old")
                await stream.events(1)
                log.lose()
                await log.add("t", "new")
                gap, event = await stream.events(2)
                assert json.loads(gap.data)["reason"] == "epoch"
                assert json.loads(gap.data)["next"] == event.last_event_id
                assert event.data == "new"
            assert hub.stats().breaks == 1
            assert hub.stats().demotions == 1

    run(main())


def test_a_stream_that_wants_no_gap_ends_at_one() -> None:
    """`on_gap="close"` tells of the gap, and ends in good order with `limit`; who comes back goes on behind it."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "0")
            await hub.publish("t", "1")
            await hub.publish("t", "2")
            await log.keep_newest("t", 1)
            app = Endpoint(hub, "t", on_gap="close")
            async with opened(app, str(first)) as stream:
                events = await stream.until_end()
            assert [event.event for event in events] == ["stream-gap", "stream-end"]
            assert json.loads(events[1].data) == {"reason": "limit"}
            assert app.record.reason is CloseReason.LIMIT
            assert stream.ended is StreamEnd.COMPLETE
            async with opened(Endpoint(hub, "t", on_gap="close"), events[1].last_event_id) as stream:
                assert (await stream.next_event()).data == "2"

    run(main())


def test_a_closed_topic_answers_204_to_who_has_all_of_it() -> None:
    """The final cursor makes a browser stop for good; any other gets what it misses, and then the end."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            first = await hub.publish("t", "0")
            last = await hub.publish("t", "1", close=True)
            app = Endpoint(hub, "t")
            async with opened(app, str(last)) as stream:
                await stream.until_end()
                assert stream.status == 204
                assert stream.received == b""
                assert "content-type" not in stream.headers
                assert stream.headers["cache-control"] == "no-store, no-transform"
            async with opened(app, str(first)) as stream:
                assert stream.status == 200
                assert [event.data for event in await stream.until_end()] == ["1", '{"reason":"completed"}']
            async with opened(app) as stream:
                await stream.until_end()
                assert (
                    stream.received == f'id: {last}\n\nevent: stream-end\ndata: {{"reason":"completed"}}\n\n'.encode()
                )
            assert [record.reason for record in app.records] == [CloseReason.COMPLETED] * 3

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_topic_that_is_closed_ends_its_streams(way: Any) -> None:
    """Those who are live get its last event, and `stream-end`; the next visit is answered with 204."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t")
            async with opened(way(app)) as stream:
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "first")
                last = await hub.publish("t", "last", close=True)
                events = await stream.until_end()
            assert [event.data for event in events] == ["first", "last", '{"reason":"completed"}']
            assert app.record.reason is CloseReason.COMPLETED
            assert app.record.events == 2
            async with opened(app, str(last)) as stream:
                assert stream.status == 204

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_the_record_counts_what_was_sent(way: Any) -> None:
    """Events, bytes and heartbeats of the record are those that the client has received."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await hub.publish("t", "old")
            app = Endpoint(hub, "t", backlog=1)
            async with opened(way(app)) as stream:
                await stream.events(1)
                for number in range(5):
                    await hub.publish("t", str(number))
                await stream.events(5)
                await asyncio.sleep(31)
                await hub.publish("t", "after")
                await stream.events(1)
                received = stream.received
            record = app.record
            assert received.count(HEARTBEAT) == 2
            assert (record.events, record.heartbeats, record.sent_bytes) == (7, 2, len(received))
            assert record.reason is CloseReason.CLIENT_CLOSED
            assert record.cleanup is Cleanup.FINISHED
            assert record.discarded == 0

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_silent_stream_is_kept_alive(way: Any) -> None:
    """After `heartbeat` seconds without an event there is a comment, and never more than one at a time."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", heartbeat=10.0)
            async with opened(way(app)) as stream:
                await asyncio.sleep(45)
                assert stream.received.count(HEARTBEAT) == 4
                await hub.publish("t", "x")
                await asyncio.sleep(9)
                assert stream.received.endswith(b"data: x\n\n")
            assert app.record.heartbeats == 4

    run(main())


def test_a_named_heartbeat_is_an_event() -> None:
    """`heartbeat_event` takes the comment's place, for those who are live, too."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = stepped(Endpoint(hub, "t", heartbeat=10.0, heartbeat_event="beat"))
            async with opened(app) as stream:
                assert [event.event for event in await stream.events(2)] == ["beat", "beat"]
                assert HEARTBEAT not in stream.received

    run(main())


def test_a_filter_passes_what_it_likes_and_the_cursor_moves_on() -> None:
    """What is filtered out is not sent; a heartbeat then carries the id, so that it is not read again."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", filter=lambda event: event.event == "yes", heartbeat=10.0)
            async with opened(stepped(app)) as stream:
                await hub.publish("t", "1", event="yes")
                await hub.publish("t", "2", event="no")
                wanted = await hub.publish("t", "3", event="yes")
                assert [event.data for event in await stream.events(2)] == ["1", "3"]
                passed = [await hub.publish("t", str(number), event="no") for number in range(5)]
                assert stream.received.endswith(f"id: {wanted}\nevent: yes\ndata: 3\n\n".encode())
                await asyncio.sleep(15)
                assert stream.received.endswith(f"data: 3\n\nid: {passed[-1]}\n\n".encode() + HEARTBEAT)
                await asyncio.sleep(10)
                assert stream.received.endswith(f"id: {passed[-1]}\n\n".encode() + 2 * HEARTBEAT)
            assert app.record.events == 2
            assert app.record.heartbeats == 2

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_stops_reading_gets_all_when_it_reads_again(way: Any) -> None:
    """A write that waits makes it a reader of the log: nothing is kept for it, nothing is lost, nothing comes twice."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", send_timeout=None)
            async with opened(way(app), buffer_messages=2) as stream:
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "0")
                await stream.events(1)
                stream.freeze()
                for number in range(1, 1000):
                    await hub.publish("t", str(number))
                    await turns(2)
                assert hub.stats().behind == 1
                stream.thaw()
                assert [event.data for event in await stream.events(999)] == [str(n) for n in range(1, 1000)]
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "live")
                assert (await stream.next_event()).data == "live"
                received = stream.received
            assert hub.stats().demotions >= (1 if way is stepped else 0)
            assert app.record.events == 1001
            assert app.record.sent_bytes == len(received)

    run(main())


def test_a_client_that_never_reads_again_is_given_up() -> None:
    """A write that began in a flush is under `send_timeout` like any other."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", send_timeout=5.0)
            async with opened(stepped(app), buffer_messages=0) as stream:
                await until(lambda: hub.stats().live == 1)
                stream.freeze()
                await hub.publish("t", "x")
                await stream.wait_closed(20)
            assert app.record.reason is CloseReason.SEND_TIMEOUT
            assert hub.stats().subscribers == 0

    run(main())


def test_a_send_that_fails_ends_that_stream_alone() -> None:
    """An `OSError` from the server's `send` is the loss of one connection; the others get the event."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            lost, kept = Endpoint(hub, "t"), Endpoint(hub, "t")
            async with opened(stepped(kept)) as stream, opened(stepped(lost), send_raises=True) as leaving:
                await until(lambda: hub.stats().live == 2)
                await turns()
                leaving._connection.disconnected = True  # it is gone, and nobody was told
                await hub.publish("t", "x")
                assert (await stream.next_event()).data == "x"
                await leaving.wait_closed()
                assert lost.record.reason is CloseReason.WRITE_FAILED
            assert kept.record.reason is CloseReason.CLIENT_CLOSED

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_grant_bounds_the_age(way: Any) -> None:
    """The stream ends with `max_age` when the leave does, live and without a jitter."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", public=False, authorize=lambda request, topic: Grant(max_age=30.0), max_age=100)
            async with opened(way(app)) as stream:
                await stream.until_end()
                assert stream.received.endswith(b'event: stream-end\ndata: {"reason":"max_age"}\n\n')
            assert app.record.reason is CloseReason.MAX_AGE
            assert app.record.duration == pytest.approx(30, abs=0.1)

    run(main())


def test_a_log_that_is_away_at_the_start_is_waited_for() -> None:
    """The stream is open and kept alive; when the log is back it goes on where it should, with its first id."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "0")
            await hub.publish("t", "1")
            log.away = True
            app = Endpoint(hub, "t")
            async with opened(app, str(first)) as stream:
                await asyncio.sleep(40)
                assert stream.status == 200
                assert stream.received == HEARTBEAT * 3  # with the headers, and two intervals
                log.away = False
                assert (await stream.next_event()).data == "1"
                assert stream.received.startswith(HEARTBEAT * 3 + f"id: {first}\n\n".encode())
            assert hub.stats().resumes == {"complete": 1}

    run(main())


def test_a_log_that_goes_away_in_the_middle_is_waited_for() -> None:
    """A reader that is behind keeps its connection and its place."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            positions = [await hub.publish("t", str(number)) for number in range(1000)]
            reads = 0

            async def fail(method: str, topic: str) -> None:
                nonlocal reads
                reads += method == "read"
                log.away = reads > 3

            log.before = fail
            app = Endpoint(hub, "t")
            async with opened(app, str(positions[0])) as stream:
                await until(lambda: log.away)
                await asyncio.sleep(50)
                assert HEARTBEAT in stream.received
                log.before, log.away = None, False
                assert [event.data for event in await stream.events(999)] == [str(number) for number in range(1, 1000)]
            assert app.record.events == 999

    run(main())


def test_a_stream_can_end_while_its_log_is_away() -> None:
    """A client that leaves, or a hub that closes, does not wait for the log."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        await hub.open()
        log.gate = asyncio.Event()  # it does not even answer
        app = Endpoint(hub, "t")
        async with opened(app, wait_for_start=False) as stream:
            await turns()
            await stream.disconnect()
            await stream.wait_closed(1)
        assert app.record.reason is CloseReason.CLIENT_CLOSED
        assert hub.stats().subscribers == 0
        await hub.close()

    run(main())


def test_one_connection_reads_several_topics_with_one_cursor() -> None:
    """Each event's id says where the client is in all of them; with it nothing of any is missed or repeated."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            cursor = await hub.position("a", "b")
            for number in range(10):
                await hub.publish("a", f"a{number}")
                await hub.publish("b", f"b{number}")
            async with opened(Endpoint(hub, "b", "a"), cursor) as stream:
                events = await stream.events(20)
            for name in "ab":
                of_one = [event.data for event in events if event.data.startswith(name)]
                assert of_one == [f"{name}{number}" for number in range(10)]
            for at, event in enumerate(events):
                async with opened(Endpoint(hub, "a", "b"), event.last_event_id) as stream:
                    rest = [event.data for event in await stream.events(19 - at)] if at < 19 else []
                    assert sorted(rest) == sorted(event.data for event in events[at + 1 :])

    run(main())


def test_several_topics_live_in_one_feed() -> None:
    """Live events of all topics come in the order of their publishing, and their ids resume."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "a", "b")
            async with opened(stepped(app)) as stream:
                await until(lambda: hub.stats().live == 1)
                for number in range(6):
                    await hub.publish("ab"[number % 2], str(number))
                events = await stream.events(6)
                assert [event.data for event in events] == list("012345")
            async with opened(stepped(app), events[3].last_event_id) as stream:
                assert sorted(event.data for event in await stream.events(2)) == ["4", "5"]

    run(main())
