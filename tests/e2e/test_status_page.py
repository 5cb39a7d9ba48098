"""The status page in a real browser: what it says is read off it, as its users do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from tests.status.support import FIRST_ID, Open, entered, finding, made, many, mounted, record, refusal, serving
from unbroken import CloseReason
from unbroken.status import StatusPage

pytestmark = pytest.mark.browser

WAIT_MS = 15_000
EVIL = '/<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>&lt;b&gt;'


@contextmanager
def opened(browser: Browser, url: str, *, strict: bool = True, width: int = 1280) -> Iterator[Page]:
    """Open a page in a context of its own; a complaint of the browser, or a request elsewhere, fails the test."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(url) else errors.append(request.url))
    if strict:  # what breaks the Content-Security-Policy is told here; so is every request that fails
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def status_page() -> Iterator[StatusPage]:
    """Make a page for everybody."""
    with made(public=True) as page:
        yield page


@pytest.fixture
def page(browser: Browser, status_page: StatusPage) -> Iterator[Page]:
    """Open it, and wait until it is live."""
    with serving(mounted(status_page)) as url, opened(browser, f"{url}/streams/") as page:
        expect_state(page, "live")
        yield page


def expect_state(page: Page, text: str) -> None:
    """Wait until the page says so of its connection."""
    expect(page.get_by_role("status")).to_have_text(text)


def expect_rows(page: Page, number: int) -> None:
    """Wait until so many streams are listed."""
    expect(page.locator("#streams tbody tr")).to_have_count(number)


def test_a_thousand_open_streams(page: Page) -> None:
    """All are counted, the oldest two hundred are listed, and the page goes on telling news."""
    streams = many(1000)
    with entered(*streams):
        expect(page.locator("#open")).to_have_text("1,001")
        expect(page.locator("#shown")).to_have_text("the oldest 200 of 1,001")
        expect_rows(page, 200)
        with entered(Open(id=FIRST_ID + 5000)):
            expect(page.locator("#open")).to_have_text("1,002")
    expect_rows(page, 1)
    expect(page.locator("#shown")).to_be_empty()


def test_a_stream_s_figures_follow_it(page: Page) -> None:
    """A row changes in place, and goes when its stream does."""
    stream = Open(path="/rooms/7/events", events=1234, sent_bytes=56_789, guarded=True)
    row = page.get_by_role("row").filter(has_text="/rooms/{room}/events")
    with entered(stream):
        expect(row.get_by_role("rowheader")).to_have_text("/rooms/{room}/eventsguarded/rooms/7/events")
        expect(row.get_by_role("cell")).to_have_text(
            ["192.0.2.1:5000", "1 min 30 s", "1,234", "56.8 kB", "4.5 s", "open"]
        )
        with entered(replace(stream, reason=CloseReason.SHUTDOWN, events=1235)):
            expect(row.get_by_role("cell").nth(2)).to_have_text("1,235")
            expect(row.get_by_role("cell").last).to_have_text("shutdown")
    expect(row).to_have_count(0)


def test_its_own_stream_is_marked(page: Page) -> None:
    """Who looks at an idle server sees why one stream is open."""
    expect_rows(page, 1)
    expect(page.locator("#streams tbody tr")).to_contain_text("status page")


def test_ends_appear_as_they_come(page: Page, status_page: StatusPage) -> None:
    """In the figures, in the chart, by reason and by duration, for those who see it and those who hear it."""
    expect(page.locator("#reasons tbody")).to_have_text("Nothing has ended yet.")
    for _ in range(3):
        status_page.history.closed(record(CloseReason.CLIENT_CLOSED, 61.0))
    status_page.history.closed(record(CloseReason.PRODUCER_ERROR, 5.0))
    expect(page.locator("#ended")).to_have_text("4")
    expect(page.locator("#faults")).to_have_text("1")
    expect(page.locator("#reasons tbody tr")).to_have_text(["client_closed33", "producer_error11"])
    expect(page.locator("#ends rect")).to_have_count(2)
    expect(page.get_by_role("img", name="3 client_closed, 1 producer_error")).to_be_visible()
    lasted = page.get_by_role("table").filter(has_text="under 1 s").get_by_role("row")
    expect(lasted.filter(has_text="1\u20132 min").first).to_contain_text("3")
    expect(lasted.filter(has_text="4\u20138 s").first).to_contain_text("1")


def test_findings_and_refusals_are_shown_once_there_are_any(page: Page, status_page: StatusPage) -> None:
    """A hop's timeout with its cure, and who was refused by which limit."""
    expect(page.locator("#findings")).to_be_hidden()
    expect(page.locator("#refusals")).to_be_hidden()
    status_page.history.found(finding())
    status_page.history.refused(refusal("client"))
    expect(page.locator("#findings li")).to_have_text(
        "9 of 10 streams of /rooms/{room}/events ended at a silence of 60 s. Likely: nginx (proxy_read_timeout). "
        "Set heartbeat=25, below half of 60 s."
    )
    expect(page.get_by_role("region", name="Refused").get_by_role("rowheader")).to_have_text("client")
    expect(page.locator("#refused")).to_have_text("1")


def test_what_clients_write_is_text(page: Page, status_page: StatusPage) -> None:
    """Markup in a path, in an address or in what was refused is shown, and is nothing else."""
    evil = Open(path=EVIL, route=None, client=EVIL, method="<b>X</b>")
    with entered(evil, replace(evil, id=FIRST_ID + 1, route=EVIL)):
        status_page.history.refused(replace(refusal(path=EVIL), client=EVIL, limit=EVIL, method=EVIL))
        status_page.history.found(replace(finding(route=EVIL), likely=EVIL, advice=EVIL))
        expect_rows(page, 3)
        expect(page.locator("#streams tbody bdi").get_by_text(EVIL, exact=True)).to_have_count(4)
        expect(page.locator("#refusals tbody bdi").first).to_have_text(EVIL)
        expect(page.locator("#findings li b")).to_contain_text(EVIL)
    assert page.locator("main img:not([role]), main script").count() == 0
    assert page.evaluate("window.hurt") is None


def test_a_script_in_the_page_would_not_run(browser: Browser, status_page: StatusPage) -> None:
    """Should markup ever slip in, the policy keeps it from doing anything."""
    with serving(mounted(status_page)) as url, opened(browser, f"{url}/streams/", strict=False) as page:
        assert page.evaluate(SMUGGLE) == "script-src-attr"
        assert page.evaluate("window.hurt") is None


SMUGGLE = """() => new Promise((done) => {
  document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
  document.body.setAttribute("onclick", "window.hurt = 1");
  document.body.click();
})"""


def test_without_permission_there_is_no_page(browser: Browser) -> None:
    """A refusal in words, no script, no figure."""

    def no(request: Request) -> bool:
        return False

    with (
        entered(Open(path="/private")),
        made(permission=no) as status_page,
        serving(mounted(status_page)) as url,
        opened(browser, f"{url}/streams/", strict=False) as page,
    ):
        assert page.locator("body").inner_text().strip() == "You have no permission to look at this."
        assert page.locator("script").count() == 0


def test_a_permission_withdrawn_is_said(browser: Browser) -> None:
    """The open page ends its stream, says why, and does not come back by itself."""
    allowed = [True]

    def may_look(request: Request) -> bool:
        return allowed[0]

    with (
        made(permission=may_look, revalidate_interval=0.2) as status_page,
        serving(mounted(status_page)) as url,
        opened(browser, f"{url}/streams/", strict=False) as page,
    ):
        expect_state(page, "live")
        allowed[0] = False
        expect_state(page, "no permission any more: reload the page to sign in")
        allowed[0] = True
        page.reload()
        expect_state(page, "live")


def test_it_says_when_it_is_cut_off_and_comes_back(browser: Browser, status_page: StatusPage) -> None:
    """A server that stops is noticed; another one at its place is shown from its beginning, with its own streams."""
    app = mounted(status_page)
    with serving(app) as url:
        port = urlsplit(url).port
        context = opened(browser, f"{url}/streams/", strict=False)
        page = context.__enter__()
        with entered(Open(client="192.0.2.1:1")):
            expect(page.locator("#streams")).to_contain_text("192.0.2.1:1")
    try:
        expect_state(page, "reconnecting")
        expect(page.locator("#as-of")).to_contain_text("as of ")
        with entered(Open(client="192.0.2.2:2")), serving(app, port=port or 0):
            expect_state(page, "live")
            expect(page.locator("#streams")).to_contain_text("192.0.2.2:2")
            expect(page.locator("#streams")).not_to_contain_text("192.0.2.1:1")
    finally:
        context.__exit__(None, None, None)


def test_it_says_when_nothing_comes(browser: Browser, status_page: StatusPage) -> None:
    """A hop that holds everything back leaves the connection open; the frames that are missing show it."""
    app, held = mounted(status_page), [False]

    async def hop(scope: Scope, receive: Receive, send: Send) -> None:
        async def pass_on(message: Message) -> None:
            while held[0]:
                await asyncio.sleep(0.05)
            await send(message)

        await app(scope, receive, pass_on)

    with serving(hop) as url, opened(browser, f"{url}/streams/") as page:
        expect_state(page, "live")
        held[0] = True
        expect_state(page, "no news")
        held[0] = False
        expect_state(page, "live")


def test_it_works_deep_below_mounts(browser: Browser, status_page: StatusPage) -> None:
    """Also from its address without the last slash."""
    app = Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", mounted(status_page))]))])
    with serving(app) as url, opened(browser, f"{url}/a/b/streams") as page:
        expect_state(page, "live")
        assert page.url == f"{url}/a/b/streams/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [340, 700, 1100])
def test_narrow_windows(page: Page, status_page: StatusPage, width: int, scheme: str) -> None:
    """Nothing is wider than the window, whatever there is to show."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    for reason in CloseReason:
        status_page.history.closed(record(reason))
    status_page.history.found(finding())
    status_page.history.refused(refusal())
    long = "/" + "x" * 300
    with entered(Open(path=long, route=None, client=long), *many(3)):
        expect(page.locator("#streams")).to_contain_text("xxx…")
        expect(page.locator("#reasons tbody tr")).to_have_count(len(CloseReason))
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page: Page, status_page: StatusPage, scheme: str) -> None:
    """Each text stands out from its ground by 4.5 to 1, the ratio that WCAG 2 asks for, and each bar by 3 to 1."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for reason in CloseReason:
        status_page.history.closed(record(reason))
    status_page.history.found(finding())
    with entered(Open(guarded=True, silent=100.0, reason=CloseReason.SHUTDOWN), *many(2)):
        expect_rows(page, 4)
        expect(page.locator("#findings")).to_be_visible()
        assert page.evaluate(FAINT) == []


FAINT = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const part = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([red, green, blue]) => 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const ratio = (one, other) => {
    const [most, least] = [light(one), light(other)].sort((a, b) => b - a);
    return (most + 0.05) / (least + 0.05);
  };
  const texts = [...document.querySelectorAll("body *")].filter((each) =>
    [...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim()) && each.checkVisibility());
  const faint = texts.filter((each) => ratio(parse(getComputedStyle(each).color), ground(each)) < 4.5);
  const bars = [...document.querySelectorAll("rect, .swatch")].filter((each) => {
    const style = getComputedStyle(each);
    return ratio(parse(each.tagName === "rect" ? style.fill : style.backgroundColor), ground(each.parentElement)) < 3;
  });
  return [...faint, ...bars].map((each) => `${each.tagName} ${each.dataset.reason ?? ""} ${each.textContent}`);
}"""
