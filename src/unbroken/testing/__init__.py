"""What a test of event streams needs: a driver, a fault proxy and a virtual clock.

    open_stream             an ASGI application in this process, read while it streams
    sse_client              the same, read by an `EventSource` that reconnects
    StreamingASGITransport  the same, for a client of httpx2 or httpx of your own
    expect_events           an assertion about the events that come next
    RecordedStream          bytes of an event stream in a file, played back
    FaultProxy              a hop between a real client and a real server that fails on demand
    run_with_virtual_clock  an event loop in which a heartbeat's 15 seconds take none

Nothing here needs a test framework; everything that waits has a deadline. `sse_client` and
`StreamingASGITransport` need httpx2, the extra `client`.
"""

from typing import TYPE_CHECKING, Any

from unbroken.testing.clock import VirtualClock, run_with_virtual_clock
from unbroken.testing.comparison import ExpectedEvent
from unbroken.testing.connection import LoopStarvedError
from unbroken.testing.driven_stream import (
    AppFailedError,
    AppStillRunningError,
    DrivenStream,
    StreamEnd,
    StreamEndedError,
)
from unbroken.testing.driver import open_stream
from unbroken.testing.expected import expect_events, sync_expect_events
from unbroken.testing.faults import Fault, Faults
from unbroken.testing.proxy import FaultProxy, ThreadedFaultProxy, running_proxy
from unbroken.testing.recorded import RecordedStream
from unbroken.testing.relay import ConnectionEnd, ProxiedConnection
from unbroken.testing.sse_client import sse_client
from unbroken.testing.waiting import DeadlineError

if TYPE_CHECKING:
    from unbroken.testing.asgi_transport import StreamingASGITransport

__all__ = [
    "AppFailedError",
    "AppStillRunningError",
    "ConnectionEnd",
    "DeadlineError",
    "DrivenStream",
    "ExpectedEvent",
    "Fault",
    "FaultProxy",
    "Faults",
    "LoopStarvedError",
    "ProxiedConnection",
    "RecordedStream",
    "StreamEnd",
    "StreamEndedError",
    "StreamingASGITransport",
    "ThreadedFaultProxy",
    "VirtualClock",
    "expect_events",
    "open_stream",
    "run_with_virtual_clock",
    "running_proxy",
    "sse_client",
    "sync_expect_events",
]


def __getattr__(name: str) -> Any:
    # It inherits from a class of httpx2, which the rest of this package does not need.
    if name != "StreamingASGITransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from unbroken.testing.asgi_transport import StreamingASGITransport

    return StreamingASGITransport
