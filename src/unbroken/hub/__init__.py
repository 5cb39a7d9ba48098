"""Topics that remember: published once, streamed to many, resumed exactly, gaps announced."""

from unbroken.hub.access import Grant
from unbroken.hub.cluster import ClusterStats, ProcessStats
from unbroken.hub.event import Event
from unbroken.hub.gap import Gap, GapReason
from unbroken.hub.hub import Hub
from unbroken.hub.outbox import Outbox, Unpublished
from unbroken.hub.response import HubResponse
from unbroken.hub.stats import HubStats
from unbroken.hub.subscription import Subscription
from unbroken.logs import Position, Retention

__all__ = [
    "ClusterStats",
    "Event",
    "Gap",
    "GapReason",
    "Grant",
    "Hub",
    "HubResponse",
    "HubStats",
    "Outbox",
    "Position",
    "ProcessStats",
    "Retention",
    "Subscription",
    "Unpublished",
]
