"""Silence: told from a quiet stream that lives, by the heartbeats that the server sends, or promises."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from unbroken.errors import StreamStalled
from unbroken.testing import Fault, Faults, running_proxy

from .origin import UNTIL_CLOSE, Answer, Exchange, answering, event, head, refusing, streaming
from .reading import READERS, Read, Reading

both = pytest.mark.parametrize("read", READERS.values(), ids=READERS)

GONE = refusing("204 No Content")


def each(url: str, **options: Any) -> list[Reading]:
    """Read with both clients at the same time: these tests take time."""
    with ThreadPoolExecutor() as pool:
        return [reading.result() for reading in [pool.submit(read, url, **options) for read in READERS.values()]]


def beating(beats: int, interval: float) -> Answer:
    """Send heartbeats, and an event behind them."""

    def answer(exchange: Exchange) -> None:
        if exchange.asked_from:
            GONE(exchange)
            return
        exchange.send(UNTIL_CLOSE)
        for _ in range(beats):
            time.sleep(interval)
            exchange.send(b": keep-alive\n\n")
        exchange.send(event(1))

    return answer


def test_heartbeats_keep_a_connection() -> None:
    """A stream that only beats, for longer than the watchdog's time, is not broken off."""
    with answering(beating(15, 0.1)) as origin:
        readings = each(origin.url, idle_timeout=1.0)
    assert [(reading.data, reading.states, reading.stats.comments) for reading in readings] == [(["1"], "ocx", 15)] * 2


@pytest.mark.parametrize("fault", [Fault.SWALLOW, Fault.FREEZE])
def test_a_connection_that_a_hop_has_forgotten(fault: Fault) -> None:
    """Both ends are open, and nothing comes through: it is given up, and the stream goes on over another."""

    def answer(exchange: Exchange) -> None:
        if exchange.asked_from == "2":
            GONE(exchange)
        else:
            streaming(event(2 if exchange.asked_from else 1), end="hold")(exchange)

    plan = [Faults(fault=fault, after_events=1)] * 4 + [Faults()]
    with answering(answer) as origin, running_proxy("127.0.0.1", origin.port, faults=plan) as proxy:
        readings = each(f"http://127.0.0.1:{proxy.port}/", idle_timeout=0.5)
    assert [(reading.data, reading.states) for reading in readings] == [(["1", "2"], "ococx")] * 2
    assert [reading.errors for reading in readings] == [[StreamStalled, StreamStalled, None]] * 2


def test_three_heartbeats_that_the_server_promised() -> None:
    """Its header `stream-heartbeat` sets the watchdog: without it the wait would be 45 s."""
    promising = streaming(event(1), begin=head("stream-heartbeat: 0.25", "Connection: close"), end="hold")
    with answering(promising, promising, GONE) as origin:
        readings = each(origin.url)
    assert [(reading.data, reading.errors) for reading in readings] == [(["1"], [StreamStalled, None])] * 2
    assert "0.75 s" in str(readings[0].changes[1].error)


@both
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "often", "1e9"])
def test_a_promise_that_is_none(value: str, read: Read) -> None:
    """Is taken for none: the stream is read, by the default time."""
    with answering(streaming(event(1), begin=head(f"stream-heartbeat: {value}", "Connection: close")), GONE) as origin:
        assert read(origin.url).states == "ocx"


def test_no_watchdog() -> None:
    """With None a silence is only a silence."""
    go_on = threading.Event()

    def answer(exchange: Exchange) -> None:
        if exchange.asked_from:
            GONE(exchange)
            return
        exchange.send(head("stream-heartbeat: 0.01", "Connection: close"))
        go_on.wait(10)
        exchange.send(event(1))

    timer = threading.Timer(0.3, go_on.set)
    timer.start()
    with answering(answer) as origin:
        readings = each(origin.url, idle_timeout=None)
    timer.join()
    assert [(reading.data, reading.states) for reading in readings] == [(["1"], "ocx")] * 2


def test_a_byte_at_a_time_is_life() -> None:
    """The watchdog counts bytes, not events: a long event on a slow line is not a silence."""

    def answer(exchange: Exchange) -> None:
        if exchange.asked_from:
            GONE(exchange)
            return
        exchange.send(UNTIL_CLOSE)
        for byte in event(1):
            time.sleep(0.05)
            exchange.send(bytes([byte]))

    with answering(answer) as origin:
        assert [reading.states for reading in each(origin.url, idle_timeout=0.6)] == ["ocx"] * 2
