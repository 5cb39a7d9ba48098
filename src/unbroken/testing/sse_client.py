"""A client that reads the event streams of an ASGI application in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from unbroken.errors import ConfigurationError
from unbroken.testing.connection import ASGIApp
from unbroken.testing.driver import TIMEOUT

if TYPE_CHECKING:
    from unbroken.client import EventSource

__all__ = ["sse_client"]

RECONNECT_TIMEOUT: Final = 60.0


@contextlib.asynccontextmanager
async def sse_client(
    app: ASGIApp,
    path: str = "/",
    *,
    base_url: str = "http://testserver",
    scope: Mapping[str, Any] | None = None,
    timeout: float = TIMEOUT,
    raise_app_errors: bool = True,
    **arguments: Any,
) -> AsyncIterator[EventSource]:
    """Read an event stream of an ASGI application in this process with an `unbroken.client.EventSource`.

    The client is the one of the network: it reconnects, each time with a new request to the application,
    keeps its place, and watches for silence. Its waits are those of the event loop, so under
    `run_with_virtual_clock` they take no time. Leaving the context closes the client and waits
    for the application's end.

    Example:
        async with sse_client(app, "/clock") as events:
            event = await anext(events)

    Args:
        app: The application, called with a scope of HTTP/1.1.
        path: The path, and a query if there is one.
        base_url: What stands before the path.
        scope: Keys that are added to the scope or replace some of it.
        timeout: Seconds that the application may take to end after its client has left; 5 by default.
        raise_app_errors: Raise what the application raises, instead of reconnecting to it for ever: out of the
            wait for the next event, or when the context is entered or left. If not, the client sees a
            response of status 500 or a body that breaks off, and does about it what it is told to.
        **arguments: Those of `EventSource`, but for `client`. `reconnect_timeout` is 60 seconds unless you say
            otherwise: an application that answers 503 for ever is a `ReconnectFailed`.

    Raises:
        AppFailedError: The application raised an `EventSourceError` or one of httpx2's, as one does that is itself
            a client; the cause is that error.
        AppStillRunningError: The application did not end in time after the client had left.
        ConfigurationError: The path does not begin with a slash, or `client` is given.
        MissingExtraError: httpx2 is not installed.
    """
    if "client" in arguments:
        raise ConfigurationError(
            "sse_client() makes the client that reaches the application: to use another, "
            "give it transport=StreamingASGITransport(app), and EventSource(client=...) that client"
        )
    if not path.startswith("/"):
        raise ConfigurationError(f"path={path!r} begins without a slash: give the path alone, as '/events?topic=a'")
    from unbroken.client import EventSource
    from unbroken.testing.asgi_transport import StreamingASGITransport
    from unbroken.testing.httpx_family import httpx2

    transport = StreamingASGITransport(app, scope=scope, timeout=timeout, raise_app_errors=raise_app_errors)
    async with (
        httpx2.AsyncClient(transport=transport, trust_env=False) as client,
        EventSource(
            base_url.rstrip("/") + path, client=client, **{"reconnect_timeout": RECONNECT_TIMEOUT, **arguments}
        ) as events,
    ):
        yield events
