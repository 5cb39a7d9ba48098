"""The chat of the examples in a real browser: its answers outlive the page, and the server."""

from __future__ import annotations

import json
import runpy
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.pages import opened
from tests.e2e.serving import ROOT, Served, served

pytestmark = pytest.mark.browser

CHAT = ROOT / "examples" / "chat"
QUESTION = "Why?"
LONG = "Tell me a long story"
ENOUGH = 10
"""Words of an answer that has begun, and is far from its end."""

BEGUN_AGAIN = "The server was lost. Another one has begun this answer again."


@contextmanager
def chatting(browser: Browser, directory: Path) -> Iterator[tuple[Served, Page]]:
    """Serve the chat, and open its page."""
    hub = f"sqlite:///{directory}/chat.db"
    with served(CHAT, HUB=hub, TOKEN_SECONDS="0.02") as server, opened(browser, server.url) as page:
        yield server, page


def ask(page: Page, question: str) -> None:
    """Ask as a person does, and wait for the first words of the answer."""
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("article").last.locator(".question")).to_have_text(question)
    page.wait_for_function(
        "least => [...document.querySelectorAll('.text')].at(-1).textContent.split(/\\s+/).length >= least", arg=ENOUGH
    )
    assert read(page) != whole(question)


def expect_ends(page: Page, *statuses: str) -> None:
    """Wait until the answers have ended so."""
    for at, status in enumerate(statuses):
        expect(answers(page).nth(at)).to_have_attribute("data-status", status)
    expect(answers(page)).to_have_count(len(statuses))
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def answers(page: Page) -> Locator:
    """Return the questions with their answers."""
    return page.locator("article")


def read(page: Page) -> str:
    """Return what there is of the last answer."""
    return answers(page).last.locator(".text").text_content() or ""


def whole(question: str) -> str:
    """Return all that the model answers."""
    return str(runpy.run_path(str(CHAT / "model.py"))["_text"](question))


def working(server: Served) -> int:
    """Return how many answers the model makes."""
    with urllib.request.urlopen(f"{server.url}working", timeout=10) as said:
        return int(json.load(said))


def test_a_refresh_and_a_second_tab(browser: Browser, tmp_path: Path) -> None:
    """What one tab asks is in both; each has all of the answer, once, and so has a page that comes after its end."""
    with chatting(browser, tmp_path) as (_, page):
        second = page.context.new_page()
        second.goto(page.url)
        ask(page, QUESTION)
        page.reload()
        for it in (page, second):
            expect_ends(it, "done")
            assert read(it) == whole(QUESTION)
        second.reload()
        expect_ends(second, "done")
        assert read(second) == whole(QUESTION)


def test_stop(browser: Browser, tmp_path: Path) -> None:
    """In any tab it stops the model, and what was said stays; to close the tab stops nothing."""
    with chatting(browser, tmp_path) as (server, page):
        ask(page, LONG)
        assert working(server) == 1
        second = page.context.new_page()
        second.goto(page.url)
        expect(answers(second)).to_have_count(1)
        page.goto("about:blank")
        assert working(server) == 1
        second.get_by_role("button", name="Stop").click()
        expect_ends(second, "cancelled")
        expect(answers(second).locator(".state")).to_have_text("Stopped.")
        assert working(server) == 0
        said = read(second)
        assert whole(LONG).startswith(said)
        page.goto(server.url)
        expect_ends(page, "cancelled")
        assert read(page) == said


def test_another_question_takes_the_place_of_the_first(browser: Browser, tmp_path: Path) -> None:
    """Its answer is stopped, and only then does the model begin the next."""
    with chatting(browser, tmp_path) as (server, page):
        ask(page, LONG)
        ask(page, QUESTION)
        assert working(server) == 1
        expect_ends(page, "cancelled", "done")
        assert read(page) == whole(QUESTION)


def test_a_server_that_is_killed(browser: Browser, tmp_path: Path) -> None:
    """The next one begins the answer again, and the page says so; what it had shown is not shown twice."""
    with chatting(browser, tmp_path) as (server, page):
        ask(page, QUESTION)
        server.kill()
        expect(page.get_by_role("status")).to_have_text("Connection lost. Trying again …")
        server.restart()
        expect(page.get_by_role("status")).to_be_empty()
        page.get_by_text(BEGUN_AGAIN).wait_for()
        expect_ends(page, "done")
        assert read(page) == whole(QUESTION)


def test_what_others_asked_is_theirs(browser: Browser, tmp_path: Path) -> None:
    """Another visitor sees nothing of it, also if he knows its id."""
    with chatting(browser, tmp_path) as (server, page), opened(browser, server.url) as other:
        with page.expect_request("**/runs/*") as asked:
            ask(page, LONG)
        expect(other.locator("#empty")).to_be_visible()
        assert answers(other).count() == 0
        run = asked.value.url.partition("?")[0]
        assert other.request.get(run).status == 404
        assert other.request.post(f"{run}/cancel").status == 404
        expect(answers(page)).to_have_attribute("data-status", "running")
