"""Assertions about the order and the content of events."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Final

import anyio

from unbroken.testing.comparison import Comparison, ExpectedEvent
from unbroken.testing.driven_stream import DrivenStream
from unbroken.testing.waiting import DeadlineError
from unbroken.wire import DecodedEvent

if TYPE_CHECKING:
    from unbroken.client import SyncEventSource

__all__ = ["expect_events", "sync_expect_events"]

TIMEOUT: Final = 5.0


async def expect_events(
    source: AsyncIterable[DecodedEvent], expected: Iterable[ExpectedEvent], timeout: float = TIMEOUT
) -> list[DecodedEvent]:
    """Read as many events as are expected, fail at the first that differs, and return them.

    What is expected of an event is one of these:

        "text"                                   a plain event (type `message`) with this data
        ("tick", "1"), ("tick", {"n": 1})        its type and data
        ("tick", "1", "id-1")                    and its last event ID
        {"event": "tick"}, {"data": …, "id": …}  the fields that are named, and no others
        ServerSentEvent({"n": 1}, event="tick")  what a client makes of it; the ID only where it has one
        a DecodedEvent                           all of it

    Data that is a `str` is compared as text, anything else as JSON (where `true` is not 1). `unittest.mock.ANY`
    stands for any value. Nothing behind the last one is read.

    Args:
        source: An `EventSource`, a `DrivenStream`, or whatever else gives events to `async for`.
        expected: What to expect, in this order.
        timeout: Seconds for all of them together; 5 by default.

    Raises:
        AssertionError: An event differs, or the stream ended too soon. The text shows what was expected
            beside what came; what the source itself raises passes through, with the same as a note.
        DeadlineError: Too few came in time. The text shows what came so far.
        ConfigurationError: Something expected is none of the above, or what the source gives is no event.
    """
    __tracebackhide__ = True
    comparison = Comparison(expected)
    events = aiter(source)
    deadline = anyio.current_time() + timeout
    while comparison.is_open:
        try:
            event = await _next_of(events, deadline - anyio.current_time())
        except StopAsyncIteration:
            raise AssertionError(comparison.missing("did not come: the stream ended")) from None
        except _OutOfTime:
            raise DeadlineError(comparison.missing(f"did not come within {timeout:g} s")) from None
        except Exception as error:
            error.add_note(comparison.missing("did not come"))
            raise
        comparison.compare(event)
    return comparison.got


def sync_expect_events(
    source: SyncEventSource, expected: Iterable[ExpectedEvent], timeout: float = TIMEOUT
) -> list[DecodedEvent]:
    """Do the same as `expect_events` with a `SyncEventSource`, in whichever thread reads it.

    When the time is over it closes the source, for nothing else ends a read in a thread: after a
    `DeadlineError` there is nothing more to be read.

    Args:
        source: The client, entered.
        expected: What to expect, in this order; see `expect_events`.
        timeout: Seconds for all of them together; 5 by default.

    Raises:
        AssertionError: An event differs, or the stream ended too soon; see `expect_events`.
        DeadlineError: Too few came in time. The text shows what came so far.
        ConfigurationError: Something expected is no event.
    """
    __tracebackhide__ = True
    comparison = Comparison(expected)
    with _closed_after(timeout, source) as out_of_time:
        while comparison.is_open:
            try:
                event = next(source)
            except StopIteration:
                if out_of_time.is_set():
                    raise DeadlineError(comparison.missing(f"did not come within {timeout:g} s")) from None
                raise AssertionError(comparison.missing("did not come: the stream ended")) from None
            except Exception as error:
                error.add_note(comparison.missing("did not come"))
                raise
            comparison.compare(event)
    return comparison.got


@contextlib.contextmanager
def _closed_after(seconds: float, source: SyncEventSource) -> Iterator[threading.Event]:
    passed = threading.Event()

    def close() -> None:
        passed.set()
        source.close()

    timer = threading.Timer(seconds, close)
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()
        timer.join()


class _OutOfTime(Exception):  # noqa: N818 # no error but a signal, unlike the TimeoutError that a client may raise
    pass


async def _next_of(source: AsyncIterator[DecodedEvent], seconds: float) -> DecodedEvent:
    if isinstance(source, DrivenStream):  # it keeps deadlines of its own, and says more of what it saw
        return await source.next_event(max(0.0, seconds))
    with anyio.move_on_after(seconds):
        return await anext(source)
    raise _OutOfTime
