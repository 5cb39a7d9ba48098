"""Where a reader begins: `after`, the backlog, and the cursor that a client brings."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run
from unbroken.errors import ConfigurationError, StreamGap
from unbroken.hub import Hub, Position
from unbroken.hub.beginning import Beginning, beginning
from unbroken.hub.gap import Gap
from unbroken.logs import Retention
from unbroken.testing import open_stream
from unbroken.testing.driven_stream import DrivenStream

HERE = Position("aa", 3, "00000003")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (None, Beginning(backlog=7)),
        ("latest", Beginning(backlog=7)),
        ("earliest", Beginning(backlog=None)),
        (HERE, Beginning(cursor=HERE)),
        ("aa.3.00000003", Beginning(cursor=HERE)),
    ],
)
def test_what_after_means(after: Any, expected: Beginning) -> None:
    """The end, the oldest there is, or a position; the backlog is for those without one."""
    assert beginning(after, 7, b"") == expected


@pytest.mark.parametrize("after", ["", "newest", "aa.3", "v1.xx", 3, b"aa.3.00000003", 0, False, "x" * 5000])
def test_what_after_cannot_be(after: Any) -> None:
    """The text shows it, cut short, and says what would do."""
    with pytest.raises(ConfigurationError, match="is no position: give what publish") as caught:
        beginning(after, 0, b"")
    assert len(str(caught.value)) < 300


async def filled(hub: Hub, *topics: str) -> list[Position]:
    """Publish five events to each topic."""
    return [await hub.publish(topic, f"{topic}{number}") for number in range(5) for topic in topics]


async def data(stream: DrivenStream, count: int) -> list[str]:
    """Return the data of the next events."""
    return [event.data for event in await stream.events(count)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, []),
        ({"after": "latest"}, []),
        ({"after": "latest", "backlog": 2}, ["t3", "t4"]),
        ({"backlog": 1}, ["t4"]),
        ({"backlog": 5}, ["t0", "t1", "t2", "t3", "t4"]),
        ({"backlog": 5000}, ["t0", "t1", "t2", "t3", "t4"]),
        ({"after": "earliest"}, ["t0", "t1", "t2", "t3", "t4"]),
    ],
)
def test_a_client_without_a_cursor_begins_where_the_route_says(arguments: dict[str, Any], expected: list[str]) -> None:
    """A backlog that is larger than what there is is no gap, and neither is the beginning."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await filled(hub, "t")
            async with opened(Endpoint(hub, "t", **arguments)) as stream:
                await hub.publish("t", "live")
                assert await data(stream, len(expected) + 1) == [*expected, "live"]
                assert stream.headers["stream-resume"] == "none"
                assert b"stream-gap" not in stream.received

    run(main())


def test_a_backlog_is_of_each_topic() -> None:
    """The newest of all, each topic in its order; what was trimmed is not missed."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            await filled(hub, "t", "u")
            await log.keep_newest("u", 1)
            async with opened(Endpoint(hub, "t", "u", backlog=2)) as stream:
                got = await data(stream, 3)
                assert sorted(got) == ["t3", "t4", "u4"]

    run(main())


def test_a_route_can_begin_behind_a_position() -> None:
    """For a client without a cursor of its own; one that has one begins there."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            positions = await filled(hub, "t")
            app = Endpoint(hub, "t", after=positions[1])
            async with opened(app) as stream:
                assert await data(stream, 3) == ["t2", "t3", "t4"]
                assert stream.headers["stream-resume"] == "complete"
            async with opened(app, str(positions[3])) as stream:
                assert await data(stream, 1) == ["t4"]

    run(main())


def test_the_header_wins_over_the_query() -> None:
    """A page is rendered with the query; what the browser has seen since then is in the header."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            positions = await filled(hub, "t")
            app, query = Endpoint(hub, "t"), {"last_event_id": str(positions[1])}
            async with open_stream(app, query=query, timeout=1000.0) as stream:
                assert await data(stream, 3) == ["t2", "t3", "t4"]
            headers = {"last-event-id": str(positions[3])}
            async with open_stream(app, query=query, headers=headers, timeout=1000.0) as stream:
                assert await data(stream, 1) == ["t4"]
            async with open_stream(app, query=query, headers={"last-event-id": ""}, timeout=1000.0) as stream:
                assert await data(stream, 3) == ["t2", "t3", "t4"]

    run(main())


@pytest.mark.parametrize("brought", ["7", "x" * 3000, "v1.AAAA", "\u00e4", "aa.1.00000001 "])
def test_a_header_that_says_nothing_is_a_gap(brought: str) -> None:
    """A browser must not be turned away for good: it is told, for each topic, and gets what comes."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await filled(hub, "t", "u")
            async with opened(Endpoint(hub, "t", "u"), brought) as stream:
                gaps = await stream.events(2)
                assert [json.loads(gap.data) for gap in gaps] == [
                    {"reason": "unreadable", "topic": topic, "after": None, "next": None, "missed": None}
                    for topic in ("t", "u")
                ]
                assert stream.headers["stream-resume"] == "gap; reason=unreadable"
                await hub.publish("t", "live")
                assert await data(stream, 1) == ["live"]
            assert hub.stats().gaps == {"unreadable": 2}

    run(main())


def test_a_cursor_over_other_topics_is_a_gap() -> None:
    """It can be read, and says nothing of these; one that says something of some is taken for those."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            foreign, shared = await hub.position("x", "y"), await hub.position("t", "x")
            await filled(hub, "t", "u")
            async with opened(Endpoint(hub, "t", "u"), foreign) as stream:
                assert stream.headers["stream-resume"] == "gap; reason=unreadable"
            async with opened(Endpoint(hub, "t", "u"), shared) as stream:
                assert stream.headers["stream-resume"] == "complete"
                assert await data(stream, 5) == ["t0", "t1", "t2", "t3", "t4"]

    run(main())


def test_a_cursor_of_one_topic_serves_where_more_are_read() -> None:
    """Its epoch tells which it is of. Of the others it does not say what the reader has seen, and that is told."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await filled(hub, "t", "u")
            position = await hub.publish("t", "t5")
            await hub.publish("t", "t6")
            async with opened(Endpoint(hub, "t", "u"), str(position)) as stream:
                gap = json.loads((await stream.next_event()).data)
                assert (gap["reason"], gap["topic"]) == ("unreadable", "u")
                assert await data(stream, 1) == ["t6"]
                await hub.publish("u", "live")
                assert await data(stream, 1) == ["live"]

    run(main())


def test_a_cursor_of_another_topics_position_is_a_gap() -> None:
    """With one topic a position is of that topic; one of another is seen by its epoch."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            (*_, other) = await filled(hub, "t", "u")
            async with opened(Endpoint(hub, "t"), str(other)) as stream:
                assert json.loads((await stream.next_event()).data)["reason"] == "epoch"
                assert await data(stream, 5) == ["t0", "t1", "t2", "t3", "t4"]

    run(main())


def test_a_page_and_its_stream_have_nothing_in_between() -> None:
    """What happens after `position` and before the stream comes with the stream."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            for topics in (["t"], ["t", "u"]):
                cursor = await hub.position(*topics)
                await filled(hub, *topics)
                app = Endpoint(hub, *topics)
                async with open_stream(app, query={"last_event_id": cursor}, timeout=1000.0) as stream:
                    assert len(await data(stream, 5 * len(topics))) == 5 * len(topics)
                    assert stream.headers["stream-resume"] == "complete"

    run(main())


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/events.db"])
def test_a_client_without_a_cursor_gets_nothing_old_however_large_it_is(url: str, tmp_path: Path) -> None:
    """A log ends its pages by their bytes: the end of a topic is not where its first page ends."""

    async def main() -> None:
        async with Hub(url.format(tmp_path)) as hub:
            await asyncio.gather(*(hub.publish("t", f"old {number} " + "x" * 20_000) for number in range(200)))
            async with opened(Endpoint(hub, "t"), timeout=10) as stream:
                while not hub.stats().live:
                    await asyncio.sleep(0.01)
                await hub.publish("t", "new")
                assert await data(stream, 1) == ["new"]

    asyncio.run(asyncio.wait_for(main(), 20))


def test_an_events_id_is_no_cursor_over_more_topics_than_its_own() -> None:
    """Of the others it does not say what was read: in code, too, that is a gap and no silent hole."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            position = await hub.publish("a", "a1")
            await hub.publish("b", "b1")
            await hub.publish("a", "a2")
            with pytest.raises(StreamGap) as caught:
                async with hub.subscribe("a", "b", after=position) as subscription:
                    await anext(subscription)
            gap = caught.value.gap
            assert isinstance(gap, Gap)
            assert (gap.reason, gap.topic) == ("unreadable", "b")
            assert dict(hub.stats().gaps) == {"unreadable": 1}

    run(main())


def test_a_cursor_over_some_of_the_topics_says_that_the_others_were_not_read() -> None:
    """A page that reads one more from now on: of that one it wants what comes."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            cursor = await hub.position("a", "b")
            await filled(hub, "a", "c")
            async with opened(Endpoint(hub, "a", "b", "c"), str(cursor)) as stream:
                assert stream.headers["stream-resume"] == "complete"
                assert await data(stream, 5) == [f"a{number}" for number in range(5)]
                await hub.publish("c", "live")
                assert await data(stream, 1) == ["live"]

    run(main())


@pytest.mark.parametrize("trimmed", ["a", "b"])
def test_the_header_tells_of_a_gap_in_any_of_the_topics(trimmed: str) -> None:
    """Whichever is read first: the header is for all of them, and the gap is told once."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=Retention(max_events=None)) as hub:
            cursor = await hub.position("a", "b")
            for number in range(600):
                await hub.publish(trimmed, str(number))
            await hub.publish("b" if trimmed == "a" else "a", "whole")
            await log.keep_newest(trimmed, 300)
            async with opened(Endpoint(hub, "a", "b"), str(cursor), buffer_messages=1000) as stream:
                assert stream.headers["stream-resume"] == "gap; reason=trimmed; missed=300"
                await stream.events(302)
                assert stream.received.count(b"event: stream-gap") == 1
            assert (hub.stats().resumes, hub.stats().gaps) == ({"gap": 1}, {"trimmed": 1})

    run(main())


def test_who_wants_no_gap_and_comes_back_meets_the_same_one_never_again() -> None:
    """`on_gap="close"` and a cursor of another epoch: the id behind the gap is given before the end."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await hub.publish("t", "first")
            app = Endpoint(hub, "t", on_gap="close")
            async with opened(app, str(HERE)) as stream:
                gap, end = await stream.until_end()
            assert (gap.event, end.event) == ("stream-gap", "stream-end")
            async with opened(app, end.last_event_id) as stream:
                assert stream.headers["stream-resume"] == "complete"
                assert await data(stream, 1) == ["first"]

    run(main())
