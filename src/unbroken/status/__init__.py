"""A page that shows the streams of this process live, to be mounted in the application."""

from unbroken.status.history import History
from unbroken.status.site import StatusPage

__all__ = ["History", "StatusPage"]
