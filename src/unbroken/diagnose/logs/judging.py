"""Which cause a traceback shows, and whether it is about a stream at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from unbroken.diagnose.logs.modules import Owner
from unbroken.diagnose.logs.signature import Needs, Seen, Signature
from unbroken.diagnose.logs.signatures import RAISED
from unbroken.diagnose.logs.tracebacks import Raised, Traceback

__all__ = ["Judgement", "judge"]

CANCELLED: Final = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit", "Cancelled"})
CONNECTION_CALLBACK: Final = "Unhandled exception in client_connected_cb"
HYPERCORNS_END: Final = "Exception in callback StreamReaderProtocol.connection_made"
CLOSING: Final = "during closing of asynchronous generator"
CLEANUP: Final = re.compile(r"the cleanup of [A-Z]+ \S+ failed")
LOOK_ALIKES: Final = re.compile(
    r"^(?:[\w.]+\.)?(?:Connection(?:Reset|Aborted|)Error|BrokenPipeError|Client\w*Disconnect\w*|"
    r"ClientConnectionResetError|BrokenResourceError|ClosedResourceError|EndOfStream|RemoteProtocolError|"
    r"ConnectionClosed\w*|IncompleteReadError):"
)
"""What the leaving of a client looks like, also where nothing streams."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a traceback is."""

    cause: str | None = None
    streams: bool = False
    """Its request was an event stream, surely."""
    needs: Needs = Needs.NOTHING
    """What must be known of its route, so that it is about one."""
    unrelated: bool = False
    """It has a sign of a stream's end, and is about none."""


def judge(traceback: Traceback, before: tuple[str, ...], *, on_stream: bool, stopping: bool) -> Judgement:
    """Judge a traceback.

    Args:
        traceback: The traceback.
        before: The lines that led to it, the nearest last.
        on_stream: Its request's route is surely one that streams.
        stopping: The worker was shutting down.
    """
    if before and CLEANUP.search(before[-1]):
        return Judgement(streams=True)  # the line itself is the finding
    said = "\n".join(before)
    sure = traceback.streams or on_stream
    needs = Needs.NOTHING if sure or not traceback.responds else Needs.NAME
    if signature := _signature(traceback, said, sure or traceback.responds):
        return Judgement(
            signature.cause, traceback.streams, needs if signature.needs is Needs.STREAM else Needs.NOTHING
        )
    if _is_cancelled(traceback):
        return _of_cancelled(traceback, said, stopping, needs)
    if traceback.responds:
        return Judgement(_of_bare_group(traceback) or "producer-failed", traceback.streams, needs)
    return Judgement(unrelated=any(LOOK_ALIKES.match(raised.text) for raised in traceback.raised))


def _of_cancelled(traceback: Traceback, said: str, stopping: bool, needs: Needs) -> Judgement:
    if HYPERCORNS_END in said:
        # So ends every connection that is open when it stops: a WebSocket's too.
        return Judgement("shutdown-hangs", needs=Needs.STREAM)
    return Judgement("shutdown-hangs" if traceback.responds and stopping else None, traceback.streams, needs)


def _signature(traceback: Traceback, said: str, streams: bool) -> Signature | None:
    return next((one for one in RAISED if _shows(one, traceback, said, streams)), None)


def _shows(signature: Signature, traceback: Traceback, said: str, streams: bool) -> bool:
    if signature.seen is Seen.BY_SERVER:
        return _shows_by_server(signature, traceback, said, streams)
    if not any(signature.pattern.search(raised.text) for raised in traceback.raised):
        return False
    if signature.seen is Seen.BY_CLIENT:
        # A producer that reads another stream and fails is this stream's failure.
        return traceback.reads_stream and not traceback.responds
    return signature.needs is Needs.NOTHING or streams or _closes_own_generator(traceback, said)


def _shows_by_server(signature: Signature, traceback: Traceback, said: str, streams: bool) -> bool:
    leaves = traceback.leaves
    if not leaves or not all(signature.pattern.search(leaf.text) and _is_servers(leaf) for leaf in leaves):
        return False
    # In what failed in the server's own reading there is no application, and no response.
    return streams or CONNECTION_CALLBACK in said


def _is_servers(leaf: Raised) -> bool:
    return leaf.owner is Owner.SERVER


def _closes_own_generator(traceback: Traceback, said: str) -> bool:
    """Say whether the application's own generator failed while it was closed."""
    owners = {raised.owner for raised in traceback.raised}
    return CLOSING in said and Owner.LIBRARY not in owners and Owner.APPLICATION in owners


def _is_cancelled(traceback: Traceback) -> bool:
    return bool(traceback.leaves) and all(leaf.type.rpartition(".")[2] in CANCELLED for leaf in traceback.leaves)


def _of_bare_group(traceback: Traceback) -> str | None:
    """Judge a group that its logger wrote without what is in it, as granian does: by the way fastapi.sse was left."""
    if not all(leaf.is_group for leaf in traceback.leaves):
        return None
    frames = traceback.frames
    if not any(frame.function == "_sse_producer_cm" for frame in frames):
        return None
    # An exception that comes in from outside went through the context manager; a client's leaving did not.
    thrown = any("athrow(" in frame.source for frame in frames)
    return "producer-failed" if thrown else "client-closed"
