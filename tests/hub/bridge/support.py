"""What the tests of the bridge share: a hub with a place to publish at, and somebody who does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from unbroken.hub import Hub
from unbroken.hub.bridge import PublishApp

__all__ = ["TOKEN", "client_of", "problem", "publish_app", "published"]

TOKEN = "correct-horse-battery"  # the token of the tests, and of nobody else


def publish_app(hub: Hub, **settings: Any) -> PublishApp:
    """Return a place to publish at, with the defaults of `Hub.publish_app`."""
    defaults = {"tokens": TOKEN, "topics": "*", "max_event_bytes": 1024, "rate": 100.0, "burst": 200}
    return PublishApp(hub._append, **{**defaults, "body_timeout": 10.0, **settings})


@asynccontextmanager
async def client_of(app: Any, token: str | None = TOKEN) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that calls an application directly, and brings a token."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://bridge", headers=headers) as client:
        yield client


def problem(response: httpx2.Response) -> tuple[int, str]:
    """Return status and detail of an answer that is none but a problem."""
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert content.keys() == {"status", "title", "detail"}
    assert content["status"] == response.status_code
    return response.status_code, content["detail"]


async def published(hub: Hub, topic: str) -> Sequence[tuple[str, str, str]]:
    """Return id, type and data of all that is in a topic."""
    head = await (await hub._home.open()).log.head(topic)
    async with hub.subscribe(topic, after="earliest") as subscription:
        events = [await anext(subscription) for _ in range(head.seq)]
    return [(event.id, event.event, event.data) for event in events]
