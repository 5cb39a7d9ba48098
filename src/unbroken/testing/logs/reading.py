"""Pages."""

from __future__ import annotations

import asyncio

from unbroken.logs.contract import Head, Log, Page, Retention
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import Contract, Handles, drafts, scenario

__all__ = ["ReadingContract"]

FULL_PAGE = 512 * 1024
"""Bytes of payload from which on a page may end: the contract says near a megabyte."""


class ReadingContract(Contract):
    """Promise 8."""

    @scenario
    async def test_a_page_begins_after_its_cursor(self, handles: Handles) -> None:
        """`read` returns up to `limit` entries above `after`; past the end, none, and the head all the same (8)."""
        log = (await handles.open()).log
        await log.append("t", drafts(*[b"x"] * 9))
        pages = [
            await log.read("t", after, limit) for after, limit in ((0, 4), (4, 4), (8, 4), (9, 4), (10**6, 4), (3, 0))
        ]
        found = [[entry.seq for entry in page.entries] for page in pages]
        assert found == [[1, 2, 3, 4], [5, 6, 7, 8], [9], [], [], []]
        assert {page.head.seq for page in pages} == {9}

    @scenario
    async def test_a_page_begins_with_the_first_retained(self, handles: Handles) -> None:
        """Where what follows the cursor was trimmed, the page begins with the first entry that is retained (8)."""
        log = (await handles.open()).log
        await log.append("t", drafts(*[b"x"] * 9))
        await log.trim("t", Retention(max_events=3))
        pages = [await log.read("t", after, 10) for after in (0, 5, 6, 7)]
        assert [[entry.seq for entry in page.entries] for page in pages] == [[7, 8, 9], [7, 8, 9], [7, 8, 9], [8, 9]]
        assert {page.head.first_seq for page in pages} == {7}

    @scenario
    async def test_pages_are_snapshots(self, handles: Handles) -> None:
        """While others append and trim, each page is of one moment: no hole, and a head that fits its entries (8)."""
        opened = await handles.open_all()
        writing = [asyncio.create_task(_churn(one.log)) for one in opened]
        after = 0
        while not all(task.done() for task in writing):
            page = await opened[-1].log.read("t", after, 7)
            _check_page(page, after, 7)
            after = page.entries[-1].seq if page.entries else 0
            await asyncio.sleep(0)
        await asyncio.gather(*writing)

    @scenario
    async def test_large_payloads_come_in_several_pages(self, handles: Handles) -> None:
        """A page may end near a megabyte of payload, never much before, and never empty (8)."""
        log = (await handles.open()).log
        for _ in range(4):
            await log.append("t", drafts(*[b"x" * 200_000] * 3))
        await log.append("t", drafts(b"y" * 3_000_000, b"z"))
        after = 0
        while after < 14:
            page = await log.read("t", after, 100)
            assert page.entries
            _check_page(page, after, 100)
            after = page.entries[-1].seq


def _check_page(page: Page, after: int, limit: int) -> None:
    entries = list(page.entries)
    assert len(entries) <= limit
    if not entries:
        assert page.head.seq <= after or page.head.first_seq > page.head.seq
        return
    check_links(entries, first=max(after + 1, page.head.first_seq))
    _check_end(page.head, entries[-1].seq, entries[-1].tag)
    short = len(entries) < limit and entries[-1].seq < page.head.seq
    assert not short or sum(len(entry.payload) for entry in entries) >= FULL_PAGE, "the page ends, and there is more"


def _check_end(head: Head, seq: int, tag: str) -> None:
    assert seq <= head.seq
    assert seq < head.seq or tag == head.tag


async def _churn(log: Log) -> None:
    for _ in range(25):
        await log.append("t", drafts(*[b"x"] * 3))
        await log.trim("t", Retention(max_events=10))
        await asyncio.sleep(0)
