"""What a test of event streams needs: a driver, a fault proxy and a virtual clock.

    open_stream             an ASGI application in this process, read while it streams
    FaultProxy              a hop between a real client and a real server that fails on demand
    run_with_virtual_clock  an event loop in which a heartbeat's 15 seconds take none

Nothing here needs a test framework; everything that waits has a deadline.
"""

from unbroken.testing.clock import VirtualClock, run_with_virtual_clock
from unbroken.testing.connection import LoopStarvedError
from unbroken.testing.driven_stream import AppStillRunningError, DrivenStream, StreamEnd, StreamEndedError
from unbroken.testing.driver import open_stream
from unbroken.testing.faults import Fault, Faults
from unbroken.testing.proxy import FaultProxy, ThreadedFaultProxy, running_proxy
from unbroken.testing.relay import ConnectionEnd, ProxiedConnection
from unbroken.testing.waiting import DeadlineError

__all__ = [
    "AppStillRunningError",
    "ConnectionEnd",
    "DeadlineError",
    "DrivenStream",
    "Fault",
    "FaultProxy",
    "Faults",
    "LoopStarvedError",
    "ProxiedConnection",
    "StreamEnd",
    "StreamEndedError",
    "ThreadedFaultProxy",
    "VirtualClock",
    "open_stream",
    "run_with_virtual_clock",
    "running_proxy",
]
