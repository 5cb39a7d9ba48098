"""The examples with a hub, each run as its users run it, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.packages import give_esm, give_unpkg, install
from tests.e2e.pages import opened
from tests.e2e.serving import ROOT, served

pytestmark = pytest.mark.browser

HTMX = ROOT / "examples" / "htmx" / "app.py"
REACT = ROOT / "examples" / "react" / "page" / "index.html"


def test_background_job(browser: Browser) -> None:
    """A refreshed page goes on with the job it started, to its end; and after the end sees that it is done."""
    with served("examples/background_job") as server, opened(browser, server.url) as page:
        page.route("**/jobs", lambda route: route.continue_(url=f"{server.url}jobs?seconds=1"))
        page.get_by_role("button", name="Start a job").click()
        expect(page.get_by_role("progressbar")).not_to_have_attribute("value", "0")
        page.reload()
        expect(page.get_by_role("progressbar")).not_to_have_attribute("value", "0")
        expect(page.locator("#state")).to_have_text("done")
        page.reload()
        expect(page.locator("#state")).to_have_text("done")
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "100")


def test_notifications(browser: Browser) -> None:
    """Each user gets what is theirs and what is for everybody; a logout ends it in all tabs of that session."""
    with (
        served("examples/notifications") as server,
        opened(browser, server.url) as ann,
        opened(browser, server.url) as bob,
    ):
        for page, name in ((ann, "Ann"), (bob, "Bob")):
            page.get_by_role("button", name=f"Log in as {name}").click()
            expect(page.locator("#state")).to_have_text("live")
        second = ann.context.new_page()
        second.goto(server.url)
        ann.request.post(f"{server.url}notify/ann", params={"text": "only <b>you</b>"})
        ann.request.post(f"{server.url}announce", params={"text": "all"})
        expect(bob.locator("#inbox li")).to_have_text(["all"])
        for page in (ann, second):
            expect(page.locator("#inbox li")).to_have_text(["only <b>you</b>", "all"])
        second.get_by_role("button", name="Log out").click()
        expect(ann.locator("#state")).to_have_text("you are logged out")
        expect(bob.locator("#state")).to_have_text("live")


def test_htmx(browser: Browser, tmp_path: Path) -> None:
    """What one page sends is in both, as text; a page that is told of a gap loads the chat anew, and goes on."""
    modules = install(HTMX.read_text(), tmp_path)
    with (
        served("examples/htmx") as server,
        opened(browser, "about:blank", elsewhere="https://unpkg.com/") as ann,
        opened(browser, "about:blank", elsewhere="https://unpkg.com/") as bob,
    ):
        for page in (ann, bob):
            give_unpkg(page, modules)
            page.goto(server.url)
        say(ann, "hello")
        say(bob, "<b>hi</b>")
        for page in (ann, bob):
            expect(page.locator("#messages li")).to_have_text(["hello", "<b>hi</b>"])
        server.restart()  # with its memory, messages and all
        for page in (ann, bob):
            expect(page.locator("#messages li")).to_have_count(0)
        say(ann, "again")
        for page in (ann, bob):
            expect(page.locator("#messages li")).to_have_text(["again"])


def say(page: Page, text: str) -> None:
    """Send a message, and wait until it is in the page."""
    page.get_by_role("textbox").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#messages li").last).to_have_text(text)


def test_react(browser: Browser, tmp_path: Path) -> None:
    """A refresh goes on where the page was, with no price lost and none twice; a gap is told."""
    modules = install(REACT.read_text(), tmp_path)
    with served("examples/react") as server, opened(browser, "about:blank", elsewhere="https://esm.sh/") as page:
        give_esm(page, modules)
        page.goto(server.url)
        expect(page.locator("li").nth(2)).to_be_visible()
        before = numbers(page)
        page.reload()
        expect(page.locator("ul")).to_contain_text(f"#{before[0] + 3}:")
        after = numbers(page)
        assert after == list(range(after[0], before[-1] - 1, -1))
        server.restart()
        expect(page.get_by_role("alert")).to_have_text("You missed some prices.")
        expect(page.get_by_role("status")).to_have_text("open")


def numbers(page: Page) -> list[int]:
    """Return the numbers of the prices in the page, the newest first."""
    return [int(found) for found in re.findall(r"#(\d+):", page.locator("ul").inner_text())]
