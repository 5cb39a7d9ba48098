r"""What `from starlette.responses import EventSourceResponse` is expected to be, which no version of Starlette has.

Text and bytes are wire frames, as they are with Starlette's `StreamingResponse`:

    from unbroken.compat.starlette import EventSourceResponse

    async def events():
        while True:
            yield "data: hello\n\n"

Anything else that is yielded is encoded as the main API does: a
`ServerSentEvent` as what it says, other values as data in JSON.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from starlette.background import BackgroundTask

import unbroken.stream.response
from unbroken.wire import ServerSentEvent

__all__ = ["EventSourceResponse", "ServerSentEvent"]


class EventSourceResponse(unbroken.stream.response.EventSourceResponse):
    """`unbroken.EventSourceResponse` with `preframed=True` as its default."""

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        *,
        preframed: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(content, status_code, headers, media_type, background, preframed=preframed, **options)
