"""Lines that say something by themselves."""

from __future__ import annotations

import re
from typing import Final

from unbroken.diagnose.logs.groups import Groups, Sight
from unbroken.diagnose.logs.lines import Line
from unbroken.diagnose.logs.records import Told, record_in, told_in
from unbroken.diagnose.logs.requests import SWITCHED
from unbroken.diagnose.logs.routes import Access, access_in, looks_like_stream, route_in, speaks_of_stream
from unbroken.diagnose.logs.screen import ROUTE_ANCHORS, WORDS
from unbroken.diagnose.logs.signature import Needs, Signature
from unbroken.diagnose.logs.signatures import (
    CONNECTIONS_OPEN,
    LINES,
    PROXIES,
    SEND_WARNING,
    TASKS_OPEN,
    TRANSPORT_ERROR,
    WITHOUT_COMPLETING,
    WORKER_KILLED,
)
from unbroken.diagnose.logs.totals import Totals
from unbroken.diagnose.logs.walls import End, Walls
from unbroken.diagnose.logs.workers import Shutdown, Worker
from unbroken.errors import CloseReason

__all__ = ["Plain"]

PROCESS: Final = re.compile(r"^\[[^\]]*\] \[(\d{1,10})\] \[")
"""Who speaks, in gunicorn's and hypercorn's lines."""
VICTIM: Final = re.compile(r"\(pid:(\d{1,10})\)")
SYNCHRONOUS: Final = re.compile(r"Using worker: (?:sync|gthread|gevent|eventlet|tornado)\b")
SERVER: Final = re.compile(r"\bASGI\b| server process \[|(?:Uvicorn|\]) [Rr]unning on http")
"""What an ASGI server says of itself, and no other."""
WEBSOCKET: Final = re.compile(r"\bstatus=101\b|\bWebSocket")
PROCESSES: Final = 1000
FLOODING: Final = (SEND_WARNING, TRANSPORT_ERROR)
SHORTEST: Final = 3.0
"""Seconds below which the end of a stream tells nothing of a hop's timeout, which is 5 s at least."""
LONG_HEAD: Final = 5.0
"""Seconds that no HEAD takes, unless it waits for a body that goes on."""


class Plain:
    """Reads lines that are in no traceback, one at a time."""

    def __init__(self, groups: Groups, walls: Walls, totals: Totals) -> None:
        self._groups, self._walls, self._totals = groups, walls, totals
        self.is_server = False
        """The log is an ASGI server's, or of its application."""

    def read(self, worker: Worker, line: Line, sight: Sight) -> bool:
        """Take note of what `line` says, and return whether it is a warning that may come in floods."""
        speaks = any(word in line.text for word in WORDS)
        if speaks and (told := told_in(line)):
            self._told(worker, line, told, sight)
            return False
        # Most lines are there for their paths: of those only a proxy's mark can be a signature.
        signatures = LINES if speaks else PROXIES
        self.is_server = self.is_server or (speaks and SERVER.search(line.text) is not None)
        if signature := next((one for one in signatures if one.pattern.search(line.text)), None):
            self._signature(worker, signature, line, sight)
        elif speaks:
            self._life(worker, line, sight)
        self._access(line, sight)
        return signature in FLOODING

    def _told(self, worker: Worker, line: Line, told: Told, sight: Sight) -> None:
        record = record_in(line.fields)
        route = record.route if record else told.route
        self._totals.refused += told.is_refusal
        self._totals.streams += told.reason is not None
        self._groups.saw_stream(route)
        if told.cause:
            self._groups.add(told.cause, route, sight)
            if told.likely and told.seconds:
                self._groups.explain(told.cause, route, told.seconds, told.likely)
        if told.reason is CloseReason.PRODUCER_ERROR:
            worker.failed.append((route, sight.number))
        elif told.reason is not None and route and told.seconds is not None:
            self._walls.add(End(route, sight, told.seconds, told.events, told.reason, told=True, record=record))

    def _signature(self, worker: Worker, signature: Signature, line: Line, sight: Sight) -> None:
        if signature in FLOODING:
            worker.flood.add(sight)
        elif signature in (CONNECTIONS_OPEN, TASKS_OPEN):
            shutdown = self._shutdown(worker, line)
            shutdown.waiting = shutdown.waiting or sight
        elif not self._is_known(worker, signature, line):
            self._add(worker, signature, line, sight)

    def _add(self, worker: Worker, signature: Signature, line: Line, sight: Sight) -> None:
        cause = signature.cause
        if cause == "shutdown-hangs":
            self._shutdown(worker, line).waiting = None  # one hanging, told once
        if (signature is WITHOUT_COMPLETING and self._shutdown(worker, line).stopping) or (
            signature is WORKER_KILLED and worker.stopping
        ):
            cause = "shutdown-hangs"
        route = None if _is_websocket(line) else route_in(line)
        self._groups.suspect(cause, route, sight, _needs(worker, signature, line))

    def _is_known(self, worker: Worker, signature: Signature, line: Line) -> bool:
        """Say whether it is the end of a worker whose end was told already; remember this one."""
        found = VICTIM.search(line.text) if signature.cause == "worker-killed" else None
        if found is None:
            return False
        known = found[1] in worker.timed_out
        worker.timed_out.append(found[1])
        return known

    def _shutdown(self, worker: Worker, line: Line) -> Shutdown:
        found = PROCESS.search(line.text)
        name = found[1] if found else ""
        if name not in worker.shutdowns and len(worker.shutdowns) >= PROCESSES:
            worker.shutdowns.pop(next(iter(worker.shutdowns))).lost(self._groups)
        return worker.shutdowns.setdefault(name, Shutdown())

    def _life(self, worker: Worker, line: Line, sight: Sight) -> None:
        """Follow the server through its life."""
        text = line.text
        if (
            "Started server process" in text
            or "Listening at" in text
            or "Booting worker" in text
            or "Started worker-" in text
        ):
            shutdown = self._shutdown(worker, line)
            shutdown.lost(self._groups)
            worker.stopping = shutdown.stopping = worker.fails_to_start = False
            if "Listening at" in text:
                worker.timed_out.clear()  # a new server, whose processes may have the same numbers
        elif "Handling signal: " in text:
            worker.stopping = "term" in text or "int" in text or "quit" in text
        elif "Shutting down" in text:
            self._shutdown(worker, line).stopping = True
        elif "Finished server process" in text:
            self._shutdown(worker, line).ended(sight, self._groups)
        elif "Error loading ASGI app" in text:
            worker.fails_to_start = True
        elif "Using worker: " in text:
            worker.is_asgi = not SYNCHRONOUS.search(text)

    def _access(self, line: Line, sight: Sight) -> None:
        access = access_in(line)
        # Of other routes there are lines that are never looked at: one that was by chance must not count.
        if (
            access is None
            or not any(word in access.route for word in ROUTE_ANCHORS)
            or not looks_like_stream(access.route)
            or not _was_served(access)
        ):
            return
        self.is_server = True
        self._totals.streams += access.method != "HEAD"
        if access.seconds is None:
            return
        if access.method == "HEAD":
            if access.seconds >= LONG_HEAD:
                self._groups.add("head-request", access.route, sight)
        elif access.seconds >= SHORTEST:
            self._walls.add(End(access.route, sight, access.seconds, access.sent_bytes))


def _needs(worker: Worker, signature: Signature, line: Line) -> Needs:
    """Return what must be known of the line's route, so that it speaks of a stream."""
    if signature.cause == "worker-killed":
        killed = worker.is_asgi and not worker.fails_to_start
        return Needs.NOTHING if killed else Needs.STREAM
    said = speaks_of_stream(line.text) and not _is_websocket(line)
    return Needs.NOTHING if said else signature.needs


def _is_websocket(line: Line) -> bool:
    access = access_in(line)
    return WEBSOCKET.search(line.text) is not None or (access is not None and access.status == SWITCHED)


def _was_served(access: Access) -> bool:
    return access.status is None or 200 <= access.status < 300 or access.status == 499
