"""The browser's own EventSource on topics: what it gets again after each kind of break, and when it stops to ask."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.pages import opened
from tests.e2e.serving import Served, served
from unbroken.testing import Fault, Faults
from unbroken.testing.proxy import ThreadedFaultProxy, running_proxy

pytestmark = pytest.mark.browser

APP = "tests/e2e/topics"
REFUSES = Faults(idle_timeout=0.0)

LISTEN = """topic => {
  window.seen = []; window.gaps = []; window.opens = 0;
  window.source = new EventSource(topic);
  source.addEventListener("message", event => seen.push(event.data));
  source.addEventListener("stream-gap", event => gaps.push(JSON.parse(event.data)));
  source.addEventListener("open", () => opens++);
}"""


@contextmanager
def listening(browser: Browser, url: str, topic: str = "news") -> Iterator[Page]:
    """Open a page whose EventSource reads a topic, and wait until it is open or has given up."""
    with opened(browser, url) as page:
        page.evaluate(LISTEN, topic)
        page.wait_for_function("source.readyState !== EventSource.CONNECTING")
        yield page


@contextmanager
def through_a_hop(server: Served) -> Iterator[tuple[ThreadedFaultProxy, str]]:
    """Put a hop before the server, and return it with the URL to go through it."""
    with running_proxy("127.0.0.1", server.port) as hop:
        yield hop, f"http://127.0.0.1:{hop.port}/"


def post(server: Served, path: str) -> None:
    """Ask the server for something, past all hops."""
    urllib.request.urlopen(urllib.request.Request(server.url + path, method="POST"), timeout=10).close()


def publish(server: Served, first: int, last: int) -> None:
    """Publish numbers."""
    post(server, f"news?first={first}&last={last}")


def expect_seen(page: Page, last: int) -> list[int]:
    """Wait until a number was seen, and return all that were."""
    page.wait_for_function("last => seen.at(-1) === last", arg=str(last))
    return [int(data) for data in page.evaluate("seen")]


def expect_gap(page: Page) -> dict[str, Any]:
    """Wait for the one gap."""
    page.wait_for_function("gaps.length > 0")
    (gap,) = page.evaluate("gaps")
    return dict(gap)


def test_a_dropped_connection(browser: Browser) -> None:
    """What is published while the connection is cut arrives after it, once and in order."""
    with (
        served(APP, HUB="memory://") as server,
        through_a_hop(server) as (hop, url),
        listening(browser, url) as page,
    ):
        publish(server, 1, 3)
        expect_seen(page, 3)
        hop.plan(REFUSES)
        hop.strike(Fault.RST)
        publish(server, 4, 6)
        hop.plan(())
        publish(server, 7, 9)
        assert expect_seen(page, 9) == list(range(1, 10))
        assert page.evaluate("[opens, gaps]") == [2, []]


def test_a_server_that_is_killed(browser: Browser, tmp_path: Path) -> None:
    """With SQLite another process goes on where the killed one was."""
    with served(APP, HUB=f"sqlite:///{tmp_path}/topics.db") as server, listening(browser, server.url) as page:
        publish(server, 1, 3)
        expect_seen(page, 3)
        server.restart()
        publish(server, 4, 6)
        assert expect_seen(page, 6) == list(range(1, 7))
        assert page.evaluate("[opens, gaps]") == [2, []]


def test_a_log_that_is_lost(browser: Browser) -> None:
    """With the memory the history is gone with its process: that is told, and what comes next is seen."""
    with served(APP, HUB="memory://") as server, listening(browser, server.url) as page:
        publish(server, 1, 3)
        expect_seen(page, 3)
        server.restart()
        gap = expect_gap(page)
        assert (gap["reason"], gap["topic"], gap["missed"]) == ("epoch", "news", None)
        publish(server, 4, 6)
        assert expect_seen(page, 6) == list(range(1, 7))


def test_a_topic_that_is_trimmed(browser: Browser) -> None:
    """Who was away for longer than the retention is told how many events that cost, and gets the others."""
    with (
        served(APP, HUB="memory://") as server,
        through_a_hop(server) as (hop, url),
        listening(browser, url) as page,
    ):
        publish(server, 1, 3)
        expect_seen(page, 3)
        hop.plan(REFUSES)
        hop.strike(Fault.RST)
        publish(server, 4, 1000)
        hop.plan(())
        gap = expect_gap(page)
        seen = expect_seen(page, 1000)
        assert (gap["reason"], seen[:3]) == ("trimmed", [1, 2, 3])
        assert seen[3:] == list(range(4 + gap["missed"], 1001))


def test_a_topic_that_is_closed(browser: Browser) -> None:
    """The browser comes back once, is told by 204 that there is no more, and asks no more."""
    with served(APP, HUB="memory://") as server, listening(browser, server.url) as page:
        post(server, "news/close")
        page.wait_for_function("source.readyState === EventSource.CLOSED")
        assert page.evaluate("[seen, opens]") == [["the end"], 1]
        assert asked(server) == {"news": 2}


def test_a_topic_that_may_not_be_read(browser: Browser) -> None:
    """A 403 is for good: the browser asks once."""
    with served(APP, HUB="memory://") as server, listening(browser, server.url, "secret") as page:
        assert page.evaluate("[source.readyState, opens]") == [2, 0]
        assert asked(server) == {"secret": 1}


def asked(server: Served) -> dict[str, int]:
    """Return how often each topic was asked for."""
    with urllib.request.urlopen(f"{server.url}asked", timeout=10) as answer:
        return dict(json.load(answer))
