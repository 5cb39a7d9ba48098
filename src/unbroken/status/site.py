"""`StatusPage`: the application to mount."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from unbroken.errors import ConfigurationError
from unbroken.observe import attach, logger
from unbroken.status.history import History
from unbroken.status.snapshot import Snapshots
from unbroken.status.text import shown
from unbroken.stream.registration import policies_of
from unbroken.stream.response import EventSourceResponse
from unbroken.wire import ServerSentEvent

__all__ = ["StatusPage"]

Permission = Callable[[Request], bool | Awaitable[bool]]

INTERVAL: Final = 1.0
"""Seconds between two frames, for each one who looks."""

ASSETS: Final = {"": "text/html", "style.css": "text/css", "icon.svg": "image/svg+xml"} | dict.fromkeys(
    ("main.js", "live.js", "charts.js", "table.js", "words.js"), "text/javascript"
)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
UNCACHED: Final = {**HEADERS, "Cache-Control": "no-store"}


class StatusPage:
    """An ASGI application that shows the streams of this process, live: those that are open, and how others ended.

        app.mount("/streams", StatusPage(permission=may_look))

    It serves a page at `/`, the same facts at `/status.json`, and the page's
    event stream at `/events`. Paths and addresses of clients are on it, so it
    asks who may look: everything here, its scripts too, is answered with 403 to
    all others, and holds no figure.

    It counts from the moment at which it is made, in memory that does not grow
    with the traffic, and it knows its own process only. Its own stream is one of
    the process's streams, and is shown as one.

    Args:
        permission: Called on the event loop with each request, a function or a
            coroutine function; what it returns decides by its truth. What it
            raises goes to the application around: an `HTTPException` is answered
            as everywhere there, anything else is a 500.
        public: Let everybody look. Must be said, and excludes `permission`.
        revalidate_interval: Seconds after which `permission` is asked again for
            a page that stays open, with its first request; 60 by default. When it
            says no, or raises, the page's stream ends.

    Raises:
        ConfigurationError: neither `permission` nor `public=True` is given, or both, or one that is of no use.
    """

    def __init__(
        self, *, permission: Permission | None = None, public: bool = False, revalidate_interval: float = 60.0
    ) -> None:
        _check(permission, public)
        policies_of(None, None, revalidate_interval, None)  # here, or it would be refused at the first look only
        self._permission = permission
        self._revalidate_interval = revalidate_interval
        self.history = History()
        """What it counts. `detach(page.history)` ends that."""
        attach(self.history)
        self._snapshots = Snapshots(self.history)
        self._router = Router(
            [
                Route("/status.json", self._status),
                Route("/events", self._events),
                *(Route(f"/{name}", _asset(name, media_type)) for name, media_type in ASSETS.items()),
            ],
            redirect_slashes=False,
        )

    @property
    def routes(self) -> list[BaseRoute]:
        """What a router around looks through for a route's template, as in an application of Starlette's."""
        return list(self._router.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application does. May be mounted under any path, and behind any `root_path`."""
        # Before any routing: one without permission must not even learn what there is.
        if scope["type"] == "http" and not await self._allows(Request(scope, receive)):
            refusal = PlainTextResponse("You have no permission to look at this.\n", 403, headers=UNCACHED)
            await refusal(scope, receive, send)
        else:
            await self._router(scope, receive, send)

    async def _allows(self, request: Request) -> bool:
        if self._permission is None:
            return True
        answer = self._permission(request)
        return bool(await answer if inspect.isawaitable(answer) else answer)

    async def _status(self, request: Request) -> Response:
        return Response(self._snapshots.now().as_json(), media_type="application/json", headers=UNCACHED)

    async def _events(self, request: Request) -> Response:
        async def still_allows(connection: HTTPConnection) -> bool:
            try:
                return await self._allows(request)
            except HTTPException:
                return False
            except Exception:  # noqa: BLE001 - the page comes back, and its user sees what is wrong
                logger.exception("the status page's permission failed; the page's stream is ended")
                return False

        return EventSourceResponse(
            self._frames(request.scope["path"]),
            headers=HEADERS,
            retry=1000,
            revalidate=None if self._permission is None else still_allows,
            revalidate_interval=self._revalidate_interval,
        )

    async def _frames(self, path: str) -> AsyncIterator[ServerSentEvent | bytes]:
        # Its path tells the page which rows are streams like its own.
        yield ServerSentEvent({"path": shown(path), "interval": INTERVAL}, event="welcome")
        while True:
            yield self._snapshots.now().frame
            await asyncio.sleep(INTERVAL)


def _check(permission: object, public: object) -> None:
    if permission is None and public is not True:
        raise ConfigurationError(
            "nobody may look at this status page: give permission=, a function that takes the request and returns "
            "whether its sender may look, or say public=True to show everybody the paths and addresses of your clients"
        )
    if permission is not None and public is not False:
        raise ConfigurationError(
            f"permission= and public={public!r} exclude each other: leave out public, and permission decides"
        )
    if permission is not None and not callable(permission):
        raise ConfigurationError(
            f"permission={permission!r} cannot be called: give a function that takes the request and returns a bool"
        )


def _asset(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    # Read at once: it is little, and the files may lie in an archive.
    content = (resources.files(__package__) / "page" / (name or "index.html")).read_bytes()

    async def asset(request: Request) -> Response:
        return Response(content, media_type=media_type, headers=UNCACHED)

    return asset
