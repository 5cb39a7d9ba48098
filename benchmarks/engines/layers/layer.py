"""What a layer does here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

__all__ = ["Layer"]


class Layer(Protocol):
    """An open layer."""

    async def publish(self, topic: str, text: str) -> None:
        """Publish, and return when the layer says that it is done."""
        ...

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        """Subscribe; what it gives are the layer's own objects."""
        ...

    def text(self, item: Any) -> str | bytes:
        """Return what was published."""
        ...
