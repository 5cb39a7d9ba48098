"""Pages of a real browser, closed at the end, with their complaints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

__all__ = ["WAIT_MS", "opened"]

WAIT_MS = 15_000
EXPECTED = ("Failed to load resource: net::", "Failed to load resource: the server responded with a status of 403")
"""What the console says of each connection that is cut, or refused, as these tests do."""

HTMX = "Event"
"""What htmx says of them."""


@contextmanager
def opened(browser: Browser, url: str, *, width: int = 1280, elsewhere: str = "http://127.0.0.1:") -> Iterator[Page]:
    """Open a page in a context of its own; an error in its scripts or a request beyond loopback fails the test.

    What begins with `elsewhere` may be asked for as well: it is for the test to answer it.
    """
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    complaints: list[str] = []

    def look_at(asked: str) -> None:
        if not asked.startswith(("http://127.0.0.1:", elsewhere)):
            complaints.append(asked)

    def hear(said: ConsoleMessage) -> None:
        icon = said.location["url"].endswith("/favicon.ico")  # which no example has
        expected = said.text.startswith(EXPECTED) or said.text == HTMX
        if said.type == "error" and not icon and not expected:
            complaints.append(said.text)

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: look_at(request.url))
    page.on("console", hear)
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert complaints == [], complaints
