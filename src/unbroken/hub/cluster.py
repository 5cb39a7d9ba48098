"""What all processes of an application do together: each is asked, by a topic of the hub's own, and says it itself."""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.hub.event import Event
from unbroken.hub.names import CLUSTER
from unbroken.hub.stats import HubStats
from unbroken.hub.topic import Topic
from unbroken.hub.topics import Topics
from unbroken.logs import Draft, Log
from unbroken.logs.position import new_token
from unbroken.observe import logger

__all__ = ["Cluster", "ClusterStats", "ProcessStats", "check_question"]

ANSWER = b'{"to": '

CLOCKS_DIFFER = 5.0
"""Seconds by which the clocks of two machines may differ."""

AT_ONCE = 8
"""Questions that are answered at a time."""

MAX_TOPICS = 1000
"""Topics of which a process says who reads them, where none are named: those with the most readers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStats:
    """What one process has said of itself."""

    process: str
    """`host:pid`, and a few digits of chance."""
    stats: HubStats
    subscribers: Mapping[str, int]
    """Open responses by topic: of those that were asked for, else of the 1000 that are read most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStats:
    """What the processes of an application have said of themselves, each at its own moment."""

    processes: Sequence[ProcessStats]
    """Those that answered in time. One that has served no stream yet does not answer, nor does one that hangs."""

    @property
    def subscribers(self) -> int:
        """Open responses, in all."""
        return sum(process.stats.subscribers for process in self.processes)

    @property
    def topics(self) -> Mapping[str, int]:
        """Open responses by topic, in all; the topics with the most first. A response may read several."""
        counted = Counter[str]()
        for process in self.processes:
            counted.update(process.subscribers)
        return dict(counted.most_common())


@dataclass(slots=True)
class _Question:
    """What was asked, and who has answered."""

    expected: int | None
    is_out: bool = False
    answers: dict[str, ProcessStats] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, answer: ProcessStats) -> None:
        self.answers[answer.process] = answer
        if self.expected is not None and len(self.answers) >= self.expected:
            self.answered.set()


class Cluster:
    """Asks all processes, and answers for this one. Owned by an engine."""

    def __init__(
        self,
        log: Log,
        topics: Topics,
        stats: Callable[[], HubStats],
        names: Callable[[], Collection[Sequence[str]]],
    ) -> None:
        self._log = log
        self._topics = topics
        self._stats = stats
        self._names = names
        self._process = f"{socket.gethostname()}:{os.getpid()}:{new_token(2)}"
        self._topic: Topic | None = None
        self._serves = False
        """There was a stream here; one that only asks is of no interest to others."""
        self._asked: dict[str, _Question] = {}
        self._answering: set[asyncio.Task[None]] = set()

    def follows(self) -> bool:
        """Whether questions are answered, as far as there can be any."""
        return self._serves or not self._log.guarantees.shared

    async def follow(self) -> None:
        """Answer questions from now on; asked for by each stream that opens, and done once."""
        try:
            await self._join()
            self._serves = True
        except LogUnavailable as exc:
            self._topics.reach.lose(str(exc))
            logger.debug("this process is not asked yet for what it does: %s", exc)

    async def _join(self) -> None:
        if self._topic is not None or not self._log.guarantees.shared:
            return
        (topic,) = await self._topics.acquire((CLUSTER,))
        if self._topic is None:
            self._topic = topic
            topic.followers.add(self)
        else:
            self._topics.release((topic,))

    async def ask(self, topics: Sequence[str], timeout: float, expected: int | None) -> ClusterStats:
        """Return what all processes say until `timeout`, or until `expected` of them have answered.

        Raises:
            LogUnavailable: they cannot be asked now.
        """
        if not self._log.guarantees.shared:
            return ClusterStats(processes=(self._answer(topics),))
        number, question = new_token(8), _Question(expected)
        self._asked[number] = question
        until = time.time() + timeout
        try:
            async with asyncio.timeout(timeout):
                await self._join()
                await self._append({"ask": number, "topics": list(topics), "until": until})
                question.is_out = True
                await question.answered.wait()
        except TimeoutError:
            # That is how it ends where nobody says how many there are.
            if not question.is_out:
                raise LogUnavailable(f"the processes could not be asked within {timeout} s") from None
        finally:
            del self._asked[number]
        return ClusterStats(processes=tuple(question.answers.values()))

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        """Hear questions and answers."""
        for event in events:
            # Not read where nobody has asked: each process gets the answers to all.
            if not self._asked and event.payload.startswith(ANSWER):
                continue
            said = json.loads(event.payload)
            if "ask" in said:
                self._begin_to_answer(said)
            elif (question := self._asked.get(said["to"])) is not None:
                question.take(_read_answer(said))

    def on_break(self, topic: Topic) -> None:
        """Let it be: whoever asked hears of fewer, and asks again."""

    def _begin_to_answer(self, said: Mapping[str, Any]) -> None:
        # After an outage come all questions that were missed: nobody waits for those any more.
        late = time.time() > said["until"] + CLOCKS_DIFFER
        if late or not self._serves or len(self._answering) >= AT_ONCE:
            return
        task = asyncio.get_running_loop().create_task(self._reply(said["ask"], said["topics"]), name="unbroken cluster")
        if not task.done():
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _reply(self, number: str, topics: Sequence[str]) -> None:
        answer = self._answer(topics)
        said = {"process": answer.process, "stats": asdict(answer.stats), "subscribers": dict(answer.subscribers)}
        try:
            await self._append({"to": number, **said})
        except LogUnavailable as exc:
            logger.debug("a question for what this process does is not answered: %s", exc)

    def _answer(self, topics: Sequence[str]) -> ProcessStats:
        counted = Counter(name for names in self._names() for name in names)
        shown = {name: counted[name] for name in topics} if topics else dict(counted.most_common(MAX_TOPICS))
        return ProcessStats(process=self._process, stats=self._stats(), subscribers=shown)

    async def _append(self, said: Mapping[str, Any]) -> None:
        await self._log.append(CLUSTER, [Draft(json.dumps(said).encode())])


def check_question(timeout: object, processes: object) -> None:
    """Refuse to ask for no time, for ever, or for no number of answers.

    Raises:
        ConfigurationError: `timeout` is no number of seconds, or `processes` neither None nor 1 or more.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ConfigurationError(f"timeout={timeout!r} is no time: give seconds, more than 0")
    if processes is not None and (isinstance(processes, bool) or not isinstance(processes, int) or processes < 1):
        raise ConfigurationError(f"processes={processes!r} is no number of them: give 1 or more, or None")


def _read_answer(said: Mapping[str, Any]) -> ProcessStats:
    # A process of another version may know other figures: of those that are missing it has nothing to say.
    known = {name: said["stats"].get(name, 0) for name in HubStats.__slots__}
    return ProcessStats(process=said["process"], stats=HubStats(**known), subscribers=said["subscribers"])
