"""Why `fix` leaves to a person what it leaves."""

from __future__ import annotations

from typing import Final

__all__ = ["why"]

REASONS: Final = {
    "SSE001": "what the name was meant to be is not plain from here",
    "SSE002": "its response is made or read where no rewrite reaches, or the heartbeat was turned off on purpose",
    "SSE003": "its response stays what it is, or this exception is none that the client's leaving raises",
    "SSE004": "what the loop has to wait for is not in the source",
    "SSE005": "raising again would leave out what follows the handler or the block, or end the stream for what was "
    "cancelled by itself",
    "SSE006": "what the generator waits for has no asynchronous twin that is sure to do the same",
    "SSE007": "which asynchronous library, or which thread, takes the call's place is a choice",
    "SSE008": "who removes the subscriber, and when, is not plain from this function",
    "SSE009": "how much may wait, and what is dropped beyond it, is a choice",
    "SSE010": "how long the dependency has to live depends on what the stream reads from it",
    "SSE011": "the frame is not put together where it is yielded, or others use it, too",
    "SSE012": "its response is made or read where no rewrite reaches",
    "SSE013": "the header is set where no rewrite reaches",
    "SSE014": "the middleware's work has to be written anew, as an ASGI middleware",
    "SSE015": "what else the middleware compresses, and for whom, is not known here",
    "SSE016": "the work has to move out of the block, or into another task",
    "SSE017": "its response is made or read where no rewrite reaches",
    "SSE018": "which events were meant cannot be told from the pieces",
    "SSE019": "its response is made or read where no rewrite reaches",
    "SSE020": "what carries events from one worker to another is a choice",
    "SSE021": "the check has to move before the stream, or the failure into an event",
}


def why(code: str) -> str:
    """Return what keeps the finding `code` from being mended by a rewrite."""
    return REASONS.get(code, "no rewrite is sure to keep what the stream does")
