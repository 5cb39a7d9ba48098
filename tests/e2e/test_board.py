"""The demo's board in a real browser, in three tabs, with a server that is killed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cli.demo_process import Demo, running_demo
from tests.e2e.pages import opened

pytestmark = pytest.mark.browser

PROCESS = re.compile(r"process (\d+)")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Run one demo for all."""
    with running_demo() as demo:
        yield demo


@pytest.fixture
def tabs(browser: Browser, demo: Demo) -> Iterator[list[Page]]:
    """Open the board in three tabs, with their streams open."""
    with ExitStack() as stack:
        tabs = [stack.enter_context(opened(browser, f"{demo.url}board/")) for _ in range(3)]
        for tab in tabs:
            expect_state(tab, "OPEN")
        yield tabs


def press(tab: Page, name: str) -> None:
    """Press a button by the name it has for everybody."""
    tab.get_by_role("button").filter(has=tab.get_by_text(name, exact=True)).click()


def expect_state(tab: Page, state: str) -> None:
    """Wait until the tab's EventSource is in this state."""
    expect(tab.locator("#ready-state")).to_have_text(state)


def expect_tally(tab: Page, *, published: int, missed: int = 0) -> None:
    """Wait until all that was published is here, or told of, and check that nothing came twice."""
    expect(tab.locator("#published")).to_have_text(str(published))
    expect(tab.locator("#received")).to_have_text(str(published - missed))
    expect(tab.locator("#missed")).to_have_text(str(missed))
    expect(tab.locator("#twice")).to_have_text("0")
    expect(tab.get_by_role("status")).to_have_text("nothing lost untold" if missed else "nothing lost, nothing twice")


def newest(tab: Page, number: int) -> list[str]:
    """Return the ids of the newest cards, the oldest of them first."""
    return tab.locator("#log .id").all_inner_texts()[:number][::-1]


def process_of(tab: Page) -> str:
    """Return the process that serves, as the tab says it."""
    expect(tab.locator("#server-state")).to_have_text(PROCESS)
    found = PROCESS.search(tab.locator("#server-state").inner_text())
    assert found is not None
    return found[1]


def test_five_minutes(tabs: list[Page]) -> None:
    """What the page proposes to do, in that order: nothing is lost in any tab, nothing comes twice, a gap is told."""
    post_a_card(tabs)
    cut_a_tab_off(tabs)
    kill_the_server(tabs)
    cut_the_retention(tabs)
    assert tabs[0].locator(".steps .done").count() == 4


def post_a_card(tabs: list[Page]) -> None:
    """What one tab posts, each gets live, with the same id."""
    tabs[1].get_by_label("A card for the board").fill("<b>hello</b>")
    press(tabs[1], "Post")
    for tab in tabs:
        expect(tab.locator("#log li").first).to_contain_text("<b>hello</b>")
        expect(tab.locator("#log li").first).to_contain_text("live")
        expect_tally(tab, published=1)
    assert len({newest(tab, 1)[0] for tab in tabs}) == 1


def cut_a_tab_off(tabs: list[Page]) -> None:
    """What was posted meanwhile comes when the connection does, once and in order; the others saw no break."""
    away, other, _ = tabs
    press(away, "Cut this tab off")
    expect_state(away, "CONNECTING")
    press(other, "Post ten")
    expect_tally(other, published=11)
    expect(away.get_by_role("status")).to_have_text("10 on the way")
    expect(away.locator("#received")).to_have_text("1")
    press(away, "Let this tab back")
    for tab in tabs:
        expect_tally(tab, published=11)
        assert newest(tab, 11) == newest(other, 11)
    expect(other.locator("#log")).not_to_contain_text("the connection is gone")


def kill_the_server(tabs: list[Page]) -> None:
    """The streams break, another process serves them on, and every card is published once and everywhere."""
    first, second, third = tabs
    before = process_of(first)
    press(first, "Post ten")
    press(second, "Kill the server")
    press(third, "Post ten")
    expect(third.locator("#log")).to_contain_text("open again")
    for tab in tabs:
        expect_tally(tab, published=31)
        assert newest(tab, 31) == newest(first, 31)
    assert process_of(first) != before


def cut_the_retention(tabs: list[Page]) -> None:
    """A tab that was away is told how many cards it has missed; the others have all."""
    away, other, third = tabs
    press(away, "Cut this tab off")
    expect_state(away, "CONNECTING")
    press(other, "Post ten")
    expect_tally(other, published=41)
    expect_tally(third, published=41)
    press(other, "Cut the retention")
    expect(other.locator("#log")).to_contain_text("cards are gone")
    press(away, "Let this tab back")
    expect_tally(away, published=41, missed=8)
    expect(away.locator("#log .gap")).to_contain_text("You missed 8 messages")
    for tab in (other, third):
        expect_state(tab, "OPEN")
        expect_tally(tab, published=41)


def test_the_tally_can_fail(browser: Browser, demo: Demo) -> None:
    """A card that was acknowledged and does not come is counted, and called lost after a while."""
    with opened(browser, "about:blank") as tab:
        tab.clock.install()
        tab.goto(f"{demo.url}board/")
        with tab.expect_request("**/published?key=*") as told:
            press(tab, "Post")
        expect_tally(tab, published=1)
        tab.request.post(f"{told.value.url.partition('?')[0]}?key=never-sent")
        expect(tab.get_by_role("status")).to_have_text("1 on the way")
        tab.clock.fast_forward(5000)
        expect(tab.get_by_role("status")).to_have_text("1 lost")
        expect(tab.locator("#published")).to_have_text("2")


def test_narrow_windows(browser: Browser, demo: Demo) -> None:
    """Nothing is wider than the window, whatever is shown."""
    with opened(browser, f"{demo.url}board/") as tab:
        press(tab, "Cut this tab off")
        press(tab, "Post ten")
        expect(tab.locator("#published")).to_have_text("10")
        press(tab, "Cut the retention")
        press(tab, "Let this tab back")
        expect_tally(tab, published=10, missed=8)
        for width in (340, 700, 1100):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.locator("html").evaluate("root => root.scrollWidth") <= width


def test_the_pages_lead_to_each_other(browser: Browser, demo: Demo) -> None:
    """Who opens the first page finds the board, and back."""
    with opened(browser, demo.url) as page:
        page.get_by_role("link", name="A board in many tabs").click()
        expect_state(page, "OPEN")
        page.get_by_role("link", name="One stream").click()
        expect(page.locator("#ready-state")).to_have_text("OPEN")
        expect(page.locator("#log")).to_contain_text("data: ")
