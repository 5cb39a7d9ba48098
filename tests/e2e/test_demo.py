"""The demo in a real browser: its buttons are clicked, and what the page and the server say is read off the page."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.cli.demo_process import DEMO, Demo, quick_demo, running_demo

pytestmark = pytest.mark.browser

WAIT_MS = 15_000
MAX_AGE = 8.0
CLOSED_WELL = ["except ConnectionResetError ran", "finally ran, awaits and all"]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Run one demo for all."""
    with running_demo() as demo:
        yield demo


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    """Open the page, with its first words heard."""
    yield from opened(browser, demo)


def opened(browser: Browser, demo: Demo, **options: object) -> Iterator[Page]:
    """Open the page in a context of its own; an error in its scripts, or a request elsewhere, fails the test."""
    context = browser.new_context(viewport={"width": 1320, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if "//127.0.0.1:" not in request.url else None)
    page.goto(demo.url)
    expect(page.locator("#log")).to_contain_text("data: ")
    yield page
    context.close()
    assert errors == []


def press(page: Page, name: str) -> None:
    """Press a button by the name it has for everybody, a screen reader's users included."""
    page.get_by_role("button", name=name).click()


def current(page: Page) -> Locator:
    """Return the row of this page's newest stream."""
    return page.locator("tbody.mine").first


def row(page: Page, number: str) -> Locator:
    """Return the row of a stream, by the number it was shown with."""
    return page.locator(f'tbody[data-number="{number}"]')


def number_of(body: Locator) -> str:
    """Return a row's number."""
    number = body.get_attribute("data-number")
    assert number is not None
    return number


def expect_end(body: Locator, state: str, facts: list[str]) -> None:
    """Wait until the server says that a stream ended so."""
    expect(body.locator(".state")).to_have_text(state)
    for fact in facts:
        expect(body.locator(".facts")).to_contain_text(fact)


def expect_state(page: Page, state: str) -> None:
    """Wait until the page's EventSource is in this state."""
    expect(page.locator("#ready-state")).to_have_text(state)


def expect_mended(page: Page) -> None:
    """Wait until the page streams again, by a stream of its own."""
    expect(page.locator("#mended")).to_have_text("once")
    expect_state(page, "OPEN")
    expect(current(page).locator(".state")).to_have_text("open")


def expect_no_gap(page: Page) -> None:
    """Check that the page has every event since the first, once and in order."""
    found = re.findall(r"id: (\d+)", "\n".join(page.locator("#log .id").all_inner_texts()))
    assert list(map(int, reversed(found))) == list(range(1, len(found) + 1))


def test_events_and_heartbeats_are_seen(page: Page) -> None:
    """The page shows events as they come and the heartbeats between them, and the server counts the same stream."""
    expect_state(page, "OPEN")
    expect(page.locator("#seen-heartbeats")).not_to_have_text("0")
    expect(page.locator("#log .beats").first).to_contain_text("♥")
    expect(current(page).locator(".state")).to_have_text("open")
    expect(current(page).locator(".heartbeats")).not_to_have_text("0")
    expect(page.locator("#bubble")).to_contain_text("Once there was a thread.")


def test_close(page: Page) -> None:
    """A stream closed by the page stays closed; the server knows at once, and Reconnect goes on where it stopped."""
    first = number_of(current(page))
    press(page, "Close (FIN)")
    expect_state(page, "CLOSED")
    expect_end(row(page, first), "client_closed", CLOSED_WELL)
    press(page, "Reconnect")
    expect_mended(page)
    expect(page.locator("#log li").first).to_contain_text("data: ")
    expect_no_gap(page)


def test_cut(page: Page) -> None:
    """A reset is noticed on both sides; the browser comes back by itself and misses no event."""
    first = number_of(current(page))
    press(page, "Cut (RST)")
    expect_end(row(page, first), "client_closed", [*CLOSED_WELL, "ClientDisconnected at"])
    expect(page.locator("#log")).to_contain_text("error: the connection is gone")
    expect_mended(page)
    expect(page.locator("#log li").first).to_contain_text("data: ")
    expect_no_gap(page)


def test_freeze(page: Page) -> None:
    """A hop that stops reading is met by send_timeout at the server, and by the missing heartbeat at the page."""
    first = number_of(current(page))
    press(page, "Freeze")
    expect_end(row(page, first), "send_timeout", [*CLOSED_WELL, "ClientDisconnected at a yield"])
    expect(page.locator("#log")).to_contain_text("not even a heartbeat")
    expect_mended(page)


def test_producer_raises(page: Page) -> None:
    """A producer's error reaches the page as an event, and the server's record as its reason."""
    first = number_of(current(page))
    press(page, "Make the producer raise")
    expect_end(row(page, first), "producer_error", ["raised AskedToRaiseError", "finally ran"])
    expect(page.locator("#log")).to_contain_text('stream-error {"reason":"producer_error"}')
    expect_mended(page)


def test_silence(browser: Browser) -> None:
    """A hop that swallows everything is found out by the page's heartbeat, and survived by the server's max_age."""
    with running_demo(*quick_demo(MAX_AGE)) as demo:
        for page in opened(browser, demo):
            first = number_of(current(page))
            press(page, "Let the hop go silent")
            expect(page.locator("#log")).to_contain_text("not even a heartbeat")
            expect(row(page, first).locator(".state")).to_have_text("held for nobody")
            expect_end(row(page, first), "max_age", [*CLOSED_WELL, "ServerClosing at the exit of while_connected()"])


def test_without_unbroken(page: Page) -> None:
    """The same cut under StreamingResponse: no reason, no except, a cleanup cut short, and the code marked with it."""
    page.get_by_text("StreamingResponse").first.click()
    expect(current(page)).to_have_attribute("data-through", "starlette")
    first = number_of(current(page))
    press(page, "Cut (RST)")
    never = ["except ConnectionResetError never ran", "finally cut off at its first await by CancelledError"]
    expect_end(row(page, first), "over: no reason kept", never)
    expect(page.locator('#code .row[data-note="never reached"]')).to_contain_text("except ConnectionResetError")
    expect(page.locator("#server-story")).to_contain_text("nobody wrote down why")


def test_freeze_without_unbroken(page: Page) -> None:
    """The same freeze under StreamingResponse: the write waits on, and after a reconnect it waits for nobody."""
    page.get_by_text("StreamingResponse").first.click()
    expect(current(page)).to_have_attribute("data-through", "starlette")
    first = number_of(current(page))
    press(page, "Freeze")
    expect(row(page, first).locator(".state")).to_have_text(re.compile(r"write waits [4-9] s"))
    press(page, "Reconnect")
    expect(page.locator("#held")).to_contain_text("1 for nobody")
    expect(row(page, first).locator(".state")).to_contain_text("write waits")


def test_told_aloud(page: Page) -> None:
    """What happened is said in a live region, and the code marked where it happened."""
    press(page, "Cut (RST)")
    story = page.get_by_role("status")
    expect(story).to_contain_text("client_closed")
    expect(story).to_contain_text("Its cleanup ran to the end.")
    expect(page.locator('#code .row[data-note="caught"]')).to_contain_text("except ConnectionResetError")


def test_pages_do_not_disturb_each_other(browser: Browser, demo: Demo, page: Page) -> None:
    """A page hurts its own stream only; another one's goes on."""
    for other in opened(browser, demo):
        mine = number_of(current(page))
        press(other, "Cut (RST)")
        expect_mended(other)
        assert number_of(current(page)) == mine
        expect(page.locator("#mended")).to_have_text("never")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [340, 700, 1100])
def test_narrow_windows(page: Page, width: int, scheme: str) -> None:
    """Nothing is wider than the window, whatever has happened."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    press(page, "Cut (RST)")
    expect(current(page).locator(".state")).to_have_text("open")
    expect_mended(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_demo_ends_and_comes_back(browser: Browser) -> None:
    """A demo stopped with its page open ends in good order; the page says so, and streams again when it is back."""
    with running_demo() as demo:
        for page in opened(browser, demo):
            assert demo.stop() == 0
            assert "Traceback" not in demo.said
            expect(page.locator("#browser-story")).to_contain_text("The demo itself has gone.")
            expect_state(page, "CLOSED")
            with running_demo(*DEMO, "--port", str(demo.port)) as again:
                assert again.port == demo.port
                expect_state(page, "OPEN")
                expect(page.locator("#log li").first).to_contain_text("data: ")
