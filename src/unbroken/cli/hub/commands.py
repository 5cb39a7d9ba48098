"""`unbroken hub`: parse, call, render."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from unbroken.cli.diagnosis.output import Exit, count, say
from unbroken.cli.hub.opening import KEEP_ALL, opened_hub, opened_log
from unbroken.cli.hub.output import columns
from unbroken.cli.hub.readers import as_plain, ask, lines
from unbroken.cli.hub.tailing import Tail
from unbroken.cli.hub.topics import TopicStats, near, stats_of, topics_of
from unbroken.cli.output import OutputLost, ending_well, shown, write
from unbroken.cli.output import as_json as json_of
from unbroken.errors import ConfigurationError
from unbroken.hub import ClusterStats, Position
from unbroken.logs import Retention

__all__ = ["hub"]

hub = typer.Typer(name="hub", no_args_is_help=True, help="Look into the topics of a hub, and work on them.")

Url = Annotated[
    str,
    typer.Option(
        "--url",
        "-u",
        envvar="UNBROKEN_HUB_URL",
        show_default=False,
        help="The log. One with a password belongs into the environment: all users of a machine see command lines.",
    ),
]
Topic = Annotated[str, typer.Argument(show_default=False, help="The topic's name.")]

MAX_BYTES = 1024 * 1024
"""Of an event, as a hub has it by default."""
MAX_ASKED = 1000
"""Topics that are named in the question for their readers; of more, those that are read most are told."""
BACKLOG = 10
"""Events before the end, with which `tail` begins, as tail(1) does."""


@hub.command()
def publish(
    topic: Topic,
    url: Url,
    data: Annotated[
        str | None, typer.Argument(show_default=False, help="The data; `-`, or nothing, for standard input.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="The event type.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: used again, nothing is published.")] = None,
    close: Annotated[bool, typer.Option("--close", help="This is the topic's last event.")] = False,
) -> None:
    """Publish an event, and print its id. Exit code 1: the topic is closed; 2: it cannot be said that it was."""
    with ending_well("hub publish"):
        text = _standard_input() if data in (None, "-") else str(data)
        position, is_duplicate = asyncio.run(_publish(url, topic, text, event, key, close))
        try:
            write(str(position))
        except OutputLost as error:
            raise OutputLost(f"{error}, but the event is published: {position}") from None
        if is_duplicate:
            say("unbroken hub publish: the key was used before: nothing was published, and this is the first one's id")


def _standard_input() -> str:
    data = _read_bounded()
    if len(data) > MAX_BYTES:  # before it is decoded: a character that we have cut is not what is wrong
        raise ConfigurationError(
            f"standard input has more than the hub takes, {MAX_BYTES} bytes: publish where the data is to be fetched"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"standard input is not UTF-8, at byte {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _read_bounded() -> bytes:
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed: give the data as an argument, or by a pipe")
    if sys.stdin.isatty():
        say("unbroken hub publish: reading standard input; end it with Ctrl-D")
    try:
        return typer.get_binary_stream("stdin").read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"standard input cannot be read: {error}") from None


async def _publish(
    url: str, topic: str, data: str, event: str | None, key: str | None, close: bool
) -> tuple[Position, bool]:
    async with opened_hub(url) as on:
        position = await on.publish(topic, data, event=event, key=key, close=close)
        return position, on.stats().duplicates > 0


@hub.command()
def tail(
    topics: Annotated[list[str], typer.Argument(show_default=False, metavar="TOPIC...", help="1 to 32 topics.")],
    url: Url,
    after: Annotated[
        str | None, typer.Option(help="Begin behind an id or a cursor; or `earliest`, or `latest`.", show_default=False)
    ] = None,
    backlog: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help=f"Newest events of each topic to begin with; {BACKLOG}."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--count", min=1, show_default=False, help="End after so many events.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object in each line; gaps too.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End at a gap, with exit code 1.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Make topics that there are not, and wait for them.")] = False,
) -> None:
    """Print the events of topics, and those that come. Exit code 1: no such topic, or --strict and a gap."""
    given = backlog if backlog is not None else BACKLOG if after is None else 0
    with ending_well("hub tail"):
        if not new:
            _refuse_missing("tail", url, topics, "; --new makes it, and waits for its events")
        met = _tail(url, topics, after, given, limit, as_json, strict)
    raise typer.Exit(Exit.FOUND if strict and met else Exit.CLEAN)


def _tail(
    url: str, topics: Sequence[str], after: str | None, backlog: int, limit: int | None, as_json: bool, strict: bool
) -> int:
    """Print events, and return how many gaps there were. Ctrl-C is how it mostly ends, once it has begun."""
    tails = list[Tail]()

    async def main() -> None:
        async with opened_hub(url) as on:
            subscription = on.subscribe(*topics, after=after, backlog=backlog)
            tails.append(Tail(subscription, several=len(topics) > 1, json=as_json))
            await tails[0].follow(limit, strict=strict)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        if not tails or not tails[0].has_begun:
            raise
        if tails[0].cursor is not None:
            say(f"unbroken hub tail: to go on from here: --after {tails[0].cursor}")
    return sum(each.gaps for each in tails)


@hub.command()
def stats(
    url: Url,
    topics: Annotated[
        list[str] | None,
        typer.Argument(show_default=False, metavar="[TOPIC]...", help="Topics; all, if none is given."),
    ] = None,
    internal: Annotated[bool, typer.Option("--all", help="The hub's own topics too, `$…`.")] = False,
    readers: Annotated[
        bool, typer.Option("--readers", help="Ask the processes that serve who reads what; it takes --timeout.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.01, max=60, help="Seconds in which they may answer.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what stands in each topic. Exit code 1: one of them is not there; 2: the log cannot be read."""
    with ending_well("hub stats"):
        found, missing = asyncio.run(_stats(url, topics or [], internal))
        asked = asyncio.run(ask(url, [each.topic for each in found][:MAX_ASKED], timeout)) if readers else None
        if as_json:
            more = {} if asked is None else {"processes": as_plain(asked)}
            write(json_of({"topics": [asdict(each) for each in found], "missing": missing, **more}, indent=2))
        else:
            _print_stats(found, asked)
    raise typer.Exit(Exit.FOUND if missing else Exit.CLEAN)


async def _stats(url: str, topics: Sequence[str], internal: bool) -> tuple[list[TopicStats], list[str]]:
    async with opened_log(url) as log:
        known = await topics_of(log, internal=internal or bool(topics))
        missing = [topic for topic in topics if topic not in known]
        for topic in missing:
            say(f"unbroken hub stats: {near(topic, known)}")
        return await stats_of(log, [topic for topic in known if not topics or topic in topics]), missing


def _print_stats(found: Sequence[TopicStats], asked: ClusterStats | None) -> None:
    more = [] if asked is None else ["READERS"]
    if found:
        rows = [["TOPIC", "EPOCH", "FIRST", "LAST", "EVENTS", *more, ""]]
        rows += [[*_figures(each), *_readers(each, asked), "closed" if each.closed else ""] for each in found]
        for line in columns(rows, right=range(2, 5 + len(more))):
            write(line)
    if asked is not None:
        for line in ("", *lines(asked), ""):
            write(line)
    closed = sum(each.closed for each in found)
    events = sum(each.events for each in found)
    write(f"{count(len(found), 'topic')}, {closed:,} closed, {count(events, 'event')}.")


def _figures(each: TopicStats) -> Sequence[str]:
    first = str(each.first_seq) if each.events else "-"
    return (shown(each.topic), each.epoch, first, str(each.last_seq), str(each.events))


def _readers(each: TopicStats, asked: ClusterStats | None) -> Sequence[str]:
    return () if asked is None else (str(asked.topics.get(each.topic, 0)),)


@hub.command()
def trim(
    topic: Topic,
    url: Url,
    max_events: Annotated[int | None, typer.Option(show_default=False, help="Keep the newest so many events.")] = None,
    max_age: Annotated[
        float | None, typer.Option(show_default=False, help="Keep those of the last so many seconds.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(show_default=False, help="Keep the newest with so many bytes in sum.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Drop a topic's oldest events, for good. Exit code 1: no such topic, or not after all; 2: it cannot be done."""
    with ending_well("hub trim"):
        if max_events is None and max_age is None and max_bytes is None:
            raise ConfigurationError("say what to keep: --max-events, --max-age, --max-bytes, or several of them")
        # Nothing but the events goes: keys and the topic itself stay for as long as the application says.
        retention = Retention(
            max_events=max_events,
            max_age=max_age,
            max_bytes=max_bytes,
            key_age=KEEP_ALL.key_age,
            forget_after=KEEP_ALL.forget_after,
        )
        before = _refuse_missing("trim", url, [topic], "")[0]
        if not yes:
            _ask(before)
        gone, after = asyncio.run(_trim(url, topic, retention))
        write(f"{count(gone, 'event')} dropped, {after.events:,} kept.")


def _ask(before: TopicStats) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError("nothing was dropped: there is nobody to be asked; say --yes")
    question = f"{shown(before.topic)} has {count(before.events, 'event')}. Drop what is over the bounds, for good?"
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.FOUND)


async def _trim(url: str, topic: str, retention: Retention) -> tuple[int, TopicStats]:
    async with opened_log(url) as log:
        gone = await log.trim(topic, retention)
        return gone, (await stats_of(log, [topic]))[0]


def _refuse_missing(command: str, url: str, topics: Sequence[str], hint: str) -> list[TopicStats]:
    """Return what stands in topics; leave with exit code 1 if one is not there, which reading it would make."""
    found, missing = asyncio.run(_looked_up(url, topics))
    for text in missing:
        say(f"unbroken hub {command}: {text}{hint}")
    if missing:
        raise typer.Exit(Exit.FOUND)
    return found


async def _looked_up(url: str, topics: Sequence[str]) -> tuple[list[TopicStats], list[str]]:
    async with opened_log(url) as log:
        known = await topics_of(log)
        missing = [near(topic, known) for topic in topics if topic not in known]
        return ([] if missing else await stats_of(log, topics)), missing
