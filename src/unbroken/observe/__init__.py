"""What happens to the streams of this process: who is open, one record for each end, and who is told."""

from unbroken.observe.hops import HopDetector, default_hop_detector
from unbroken.observe.log import LoggingObserver, logger
from unbroken.observe.log_filter import ClientLeavingFilter
from unbroken.observe.observer import Finding, Hop, Observer, OpenStream, Refusal
from unbroken.observe.observers import attach, attached, default_log, detach, tell
from unbroken.observe.record import Cleanup, StreamRecord
from unbroken.observe.roster import open_streams

__all__ = [
    "Cleanup",
    "ClientLeavingFilter",
    "Finding",
    "Hop",
    "HopDetector",
    "LoggingObserver",
    "Observer",
    "OpenStream",
    "Refusal",
    "StreamRecord",
    "attach",
    "attached",
    "default_hop_detector",
    "default_log",
    "detach",
    "logger",
    "open_streams",
    "tell",
]

attach(default_hop_detector)  # here: it tells the observers, so that their module cannot name it
