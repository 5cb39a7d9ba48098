"""Who is compared on which engine, each with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module

from benchmarks.engines.layers.layer import Layer

__all__ = ["LAYERS", "OURS", "Kind", "Layer", "open_layer"]

OURS = "unbroken"

_Maker = Callable[[str], AbstractAsyncContextManager[Layer]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One layer; `maker` is `module:function` here, and gives an open `Layer` for the engine's URL."""

    maker: str
    # Whether it hands out subscriptions; a bare driver that stores is the floor of publishing alone.
    subscribes: bool = True


_OURS = {OURS: Kind("hub:hub")}

LAYERS: dict[str, dict[str, Kind]] = {
    "valkey": {
        **_OURS,
        "Channels, streams": Kind("litestar:streams"),
        "Channels, pub/sub": Kind("litestar:pubsub"),
        "broadcaster, streams": Kind("broadcasting:streams"),
        "broadcaster, pub/sub": Kind("broadcasting:pubsub"),
        "redis-py XADD": Kind("raw:redis", subscribes=False),
    },
    "postgres": {
        **_OURS,
        "Channels, asyncpg": Kind("litestar:asyncpg"),
        "Channels, psycopg": Kind("litestar:psycopg"),
        "broadcaster": Kind("broadcasting:broadcaster"),
        "asyncpg INSERT": Kind("raw:asyncpg", subscribes=False),
    },
    "nats": {**_OURS, "nats-py JetStream": Kind("raw:nats")},
    "sqlite": _OURS,
}
"""By engine and name."""


def open_layer(engine: str, name: str, url: str) -> AbstractAsyncContextManager[Layer]:
    module, _, function = LAYERS[engine][name].maker.partition(":")
    # Imported when it is asked for: each runs in a process of its own, and need not have the others.
    maker: _Maker = getattr(import_module(f"{__name__}.{module}"), function)
    return maker(url)
