"""The contract kit finds what is broken: a log with one fault fails the test that is about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from unbroken.errors import Fenced, TopicClosed
from unbroken.logs.contract import Appended, Draft, Entry, Head, Listener, Log, Page, Retention
from unbroken.logs.memory import MemoryLog
from unbroken.testing.logs import LogContract


@dataclass(frozen=True, slots=True)
class Ask:
    """The arguments of an append."""

    topic: str
    drafts: Sequence[Draft]
    key: str | None
    fence: int | None
    close: bool


class Adapted(MemoryLog):
    """A sound log, whose heirs change what is appended, or what is said of it, in `made`."""

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        return await self.made(Ask(topic, drafts, key, fence, close))

    async def made(self, ask: Ask) -> Appended:
        return await self.sound(ask)

    async def sound(self, ask: Ask) -> Appended:
        return await super().append(ask.topic, ask.drafts, key=ask.key, fence=ask.fence, close=ask.close)


class WithHoles(MemoryLog):
    """Every third entry cannot be read."""

    async def read(self, topic: str, after: int, limit: int) -> Page:
        page = await super().read(topic, after, limit)
        return replace(page, entries=tuple(entry for entry in page.entries if entry.seq % 3))


class WithWrongLinks(MemoryLog):
    """Each entry claims to be the first."""

    async def read(self, topic: str, after: int, limit: int) -> Page:
        page = await super().read(topic, after, limit)
        return replace(page, entries=tuple(replace(entry, previous="") for entry in page.entries))


class WithConstantTags(Adapted):
    """Tags count instead of being random."""

    async def made(self, ask: Ask) -> Appended:
        appended = await self.sound(ask)
        return replace(appended, entries=tuple(replace(entry, tag=f"{entry.seq:02x}") for entry in appended.entries))


class WithHalfBatches(Adapted):
    """Appends the drafts of a batch one after the other."""

    async def made(self, ask: Ask) -> Appended:
        for draft in ask.drafts[:-1]:
            await self.sound(replace(ask, drafts=[draft], key=None, close=False))
            await asyncio.sleep(0)
        return await self.sound(replace(ask, drafts=ask.drafts[-1:]))


class WithoutKeys(Adapted):
    async def made(self, ask: Ask) -> Appended:
        return await self.sound(replace(ask, key=None))


class WithKeysLookedUpBefore(Adapted):
    """Looks whether a key was used, and appends later: two may look at once."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[tuple[str, str | None], Appended] = {}

    async def made(self, ask: Ask) -> Appended:
        if ask.key is not None and (ask.topic, ask.key) in self._made:
            return replace(self._made[ask.topic, ask.key], duplicate=True)
        await asyncio.sleep(0)
        self._made[ask.topic, ask.key] = await self.sound(replace(ask, key=None))
        return self._made[ask.topic, ask.key]


class WithoutFences(Adapted):
    async def made(self, ask: Ask) -> Appended:
        return await self.sound(replace(ask, fence=None))


class WithFencesFirst(Adapted):
    """Compares fences before it looks at the key."""

    def __init__(self) -> None:
        super().__init__()
        self._highest = 0

    async def made(self, ask: Ask) -> Appended:
        if ask.fence is not None and ask.fence < self._highest:
            raise Fenced(ask.topic)
        self._highest = max(self._highest, ask.fence or 0)
        return await self.sound(ask)


class WithoutAnEnd(Adapted):
    """Takes what comes after the close."""

    async def made(self, ask: Ask) -> Appended:
        try:
            return await self.sound(ask)
        except TopicClosed:
            self._topics[ask.topic].closed = False
            return await self.sound(ask)


class WithTornPages(MemoryLog):
    """Takes the head at another moment than the entries."""

    async def read(self, topic: str, after: int, limit: int) -> Page:
        head = await super().head(topic)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Page(head, (await super().read(topic, after, limit)).entries)


class Deaf(MemoryLog):
    async def watch(self, topic: str) -> None:
        await super().head("barrier")


class Talkative(MemoryLog):
    """Tells of every topic."""

    async def start(self, listener: Listener) -> None:
        await super().start(listener)
        self._watched = _All()


class _All(set[str]):
    def __contains__(self, topic: object) -> bool:
        return True


class WithOneEpoch(Adapted):
    """Names epochs after their topics: a life after the next looks the same."""

    async def head(self, topic: str) -> Head:
        return replace(await super().head(topic), epoch="00")

    async def made(self, ask: Ask) -> Appended:
        return replace(await self.sound(ask), epoch="00")


class WithOneTooMany(MemoryLog):
    """Trims the newest entry with the rest."""

    async def trim(self, topic: str, retention: Retention) -> int:
        return await super().trim(topic, replace(retention, max_events=1))


class WithoutStop(MemoryLog):
    async def stop(self) -> None:
        pass


class WithTextPayloads(MemoryLog):
    """Stores payloads as text."""

    async def read(self, topic: str, after: int, limit: int) -> Page:
        page = await super().read(topic, after, limit)
        return replace(page, entries=tuple(_as_text(entry) for entry in page.entries))


def _as_text(entry: Entry) -> Entry:
    return replace(entry, payload=entry.payload.decode(errors="replace").encode())


@pytest.mark.parametrize(
    ("broken", "found_by"),
    [
        (WithHoles, "test_entries_are_counted_from_one"),
        (WithHoles, "test_concurrent_appends_leave_no_hole"),
        (WithHoles, "test_a_page_begins_after_its_cursor"),
        (WithWrongLinks, "test_each_entry_knows_the_tag_before_it"),
        (WithWrongLinks, "test_no_entry_becomes_visible_before_an_earlier_one"),
        (WithConstantTags, "test_tags_are_random"),
        (WithHalfBatches, "test_nobody_sees_half_a_batch"),
        (WithoutKeys, "test_a_key_appends_once"),
        (WithoutKeys, "test_a_cancelled_append_can_be_repeated"),
        (WithKeysLookedUpBefore, "test_a_key_that_many_use_at_once_appends_once"),
        (WithKeysLookedUpBefore, "test_an_old_key_is_forgotten"),
        (WithoutFences, "test_a_lower_fence_is_refused"),
        (WithFencesFirst, "test_a_duplicate_passes_every_fence"),
        (WithoutAnEnd, "test_nothing_follows_the_close"),
        (WithoutAnEnd, "test_a_topic_is_closed_once"),
        (WithTornPages, "test_pages_are_snapshots"),
        (Deaf, "test_every_handle_is_told"),
        (Deaf, "test_the_close_is_told"),
        (Talkative, "test_only_what_is_watched_is_told"),
        (WithOneEpoch, "test_the_first_question_makes_the_epoch"),
        (WithOneEpoch, "test_an_empty_topic_is_forgotten"),
        (WithOneTooMany, "test_no_bound_drops_nothing"),
        (WithOneTooMany, "test_too_large_go"),
        (WithoutStop, "test_a_stopped_log_refuses"),
        (WithTextPayloads, "test_payloads_are_any_bytes"),
    ],
)
def test_a_broken_log_fails(broken: type[MemoryLog], found_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit says that the promise is not kept, and does not hang."""
    monkeypatch.setattr("unbroken.testing.logs.handles.HINT_DEADLINE", 0.05)

    class Contract(LogContract):
        def make_log(self) -> Log:
            return broken()

    with pytest.raises((AssertionError, Fenced)):
        getattr(Contract(), found_by)()


def test_each_test_says_what_it_checks() -> None:
    """Every test of the kit has a docstring and is found by its name: that is what its user reads when it fails."""
    tests = [getattr(LogContract, name) for name in dir(LogContract) if name.startswith("test_")]
    assert len(tests) > 40
    assert all(test.__doc__ and test.__name__.startswith("test_") for test in tests)
