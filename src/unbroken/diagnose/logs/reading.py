"""One log, read from its beginning to its end."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from unbroken.diagnose.logs.groups import Groups, Sight
from unbroken.diagnose.logs.judging import Judgement, judge
from unbroken.diagnose.logs.lines import Line, dated, parse_line
from unbroken.diagnose.logs.plain import Plain
from unbroken.diagnose.logs.requests import WINDOW, Request, lines_before, request_before
from unbroken.diagnose.logs.routes import access_in, route_in
from unbroken.diagnose.logs.screen import interesting
from unbroken.diagnose.logs.sources import LONGEST_LINE, Blocks
from unbroken.diagnose.logs.totals import Totals
from unbroken.diagnose.logs.tracebacks import HEADER, Assembly, Traceback, parse_traceback
from unbroken.diagnose.logs.walls import Walls
from unbroken.diagnose.logs.workers import Flood, Orphan, Sends, Worker

__all__ = ["Reading"]

WORKERS: Final = 1000
OPEN: Final = 8
"""Tracebacks of one worker that may be under way at once."""
BEFORE: Final = 3
"""Lines before a traceback in which its logger says what it is."""
TOLD_BEFORE: Final = 100
"""Lines between unbroken's word of a failure and the framework's."""
INDENTED: Final = re.compile(rb"(?:  (?:File |  (?! *[|+]))[^\n]*\n)+")
"""Frames of a traceback, and their source."""
CONTINUED: Final = "Task was destroyed but it is pending!"
"""asyncio says in the next line which task it was."""
ORPHANED: Final = 5
"""Lines after a traceback in which hypercorn may name its request."""


class Reading:
    """The reading of one log: its blocks in turn, then `end`."""

    def __init__(self, blocks: Blocks, groups: Groups, walls: Walls, totals: Totals) -> None:
        self._name = blocks.name
        self._groups, self._totals = groups, totals
        self._workers: dict[str, Worker] = {}
        self._open: set[str] = set()
        """The workers of which every line must be looked at."""
        self._plain = Plain(groups, walls, totals)
        self._sends = Sends(groups)
        self._buffer = b""
        self._position = 0
        self._repeating: tuple[Worker, Sight] | None = None
        """Who has just given a warning that may come in floods."""
        self._number = 0

    def read(self, block: bytes) -> None:
        """Read a block of whole lines."""
        tail = self._buffer[-WINDOW - 1 :]  # with the end of the line before: what the window holds begins anywhere
        self._buffer = tail + block
        position = len(tail)
        for wanted in interesting(self._buffer, position):
            position = self._read_open(position, wanted)
            if wanted >= position:
                self._number += self._buffer.count(b"\n", position, wanted)
                position = self._read_line(wanted)
        position = self._read_open(position, len(self._buffer))
        self._number += self._buffer.count(b"\n", position)
        self._totals.lines += block.count(b"\n")

    def _read_open(self, position: int, until: int) -> int:
        """Read on while somebody is in the midst of something, and return how far that was."""
        while self._open and position < until:
            run = INDENTED.match(self._buffer, position)
            position = self._read_line(position) if run is None or not self._read_run(run[0]) else run.end()
        return position

    def _read_run(self, run: bytes) -> bool:
        """Give a run of indented lines to the traceback that they belong to, and say whether that is so."""
        worker = self._workers.get("")
        if worker is None or worker.partial or not (worker.assemblies and worker.assemblies[-1].takes_indented):
            return False
        if b"\x1b" in run or b"\r" in run:
            return False
        lines = run.decode("utf-8", "replace").split("\n")[:-1]
        worker.assemblies[-1].extend(lines)
        self._number += len(lines)
        return True

    def _read_line(self, position: int) -> int:
        end = self._buffer.find(b"\n", position)
        self._position = position
        self._number += 1
        self._repeating = None
        self._take(parse_line(self._buffer[position:end]))
        return self._skip_repeated(position, end + 1)

    def _skip_repeated(self, position: int, end: int) -> int:
        """Count the lines that say the same once more, and return where others begin: asyncio warns 100,000 times."""
        if self._repeating is None or self._open:
            return end
        worker, sight = self._repeating
        line, start = self._buffer[position:end], end
        while self._buffer.startswith(line, end):
            end += len(line)
        if count := (end - start) // len(line):
            worker.flood.add(replace(sight, number=self._number + 1), count)
            self._number += count
        return end

    def _take(self, line: Line) -> None:
        worker = self._worker(line.worker)
        joined = self._joined(worker, line)
        if joined is not None:
            self._take_whole(worker, joined)
        if worker.is_open:
            self._open.add(worker.name)
        else:
            self._open.discard(worker.name)

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            if len(self._workers) >= WORKERS:
                self._forget_oldest()
            self._workers[name] = Worker(name, Flood(self._groups, self._sends))
        return self._workers[name]

    def _forget_oldest(self) -> None:
        self._totals.dropped["workers beyond the first 1000, the oldest forgotten"] += 1
        oldest = self._workers.pop(next(iter(self._workers)))
        self._open.discard(oldest.name)
        self._end_worker(oldest)

    def _joined(self, worker: Worker, line: Line) -> Line | None:
        """Return the line with what its container's runtime cut off, or None while more of it is to come."""
        if line.partial or line.text.endswith(CONTINUED):
            worker.partial = (worker.partial + line.text)[:LONGEST_LINE]
            return None
        if worker.partial:
            whole = parse_line(worker.partial + line.text)
            worker.partial = ""
            return replace(whole, worker=line.worker, time=line.time or whole.time)
        return line

    def _take_whole(self, worker: Worker, line: Line) -> None:
        if self._belongs_to_traceback(worker, line.text):
            return
        line = dated(line)
        self._settle_orphan(worker, line)
        if HEADER.match(line.text) and not line.more:
            self._begin(worker, line.text)
            return
        sight = Sight(self._name, self._number, line.text, line.time)
        if self._plain.read(worker, line, sight):
            self._repeating = (worker, sight)
        if line.more:
            self._read_more(worker, line)

    def _belongs_to_traceback(self, worker: Worker, text: str) -> bool:
        """Give the line to the tracebacks under way, the latest first, and judge those that are complete."""
        if HEADER.match(text) and not text.startswith(" ") and not _expected(worker):
            return False  # another worker's, amid this one
        for assembly in reversed(worker.assemblies):
            if assembly.feed(text):
                return True
            if assembly.done:
                worker.assemblies.remove(assembly)
                self._judge(worker, assembly)
        return False

    def _begin(self, worker: Worker, text: str) -> None:
        if len(worker.assemblies) >= OPEN:
            self._judge(worker, worker.assemblies.pop(0))
        before = lines_before(self._buffer, self._position, worker.name, BEFORE)
        request = request_before(self._buffer, self._position, worker.name, before)
        said = tuple(line.text for line in before)
        worker.assemblies.append(Assembly(self._number, text, said, request))

    def _read_more(self, worker: Worker, line: Line) -> None:
        """Judge the tracebacks that a JSON line has as a whole."""
        route = route_in(line)
        request = Request(route, certain=True, time=line.time) if route else self._request_of(worker, line)
        assembly: Assembly | None = None
        for text in (*line.more, "-"):  # which no traceback goes on with
            if assembly is not None and not assembly.feed(text) and assembly.done:
                self._judge(worker, assembly)
                assembly = None
            if assembly is None and HEADER.match(text):
                assembly = Assembly(self._number, text, (line.text,), request)

    def _request_of(self, worker: Worker, line: Line) -> Request:
        before = [*lines_before(self._buffer, self._position, worker.name, BEFORE - 1), line]
        return replace(request_before(self._buffer, self._position, worker.name, before), time=line.time)

    def _judge(self, worker: Worker, assembly: Assembly) -> None:
        self._totals.tracebacks += 1
        if assembly.dropped:
            self._totals.dropped["lines of tracebacks longer than 2000"] += assembly.dropped
        traceback, request = parse_traceback(assembly.lines), assembly.request
        on_stream = request.certain and self._groups.is_stream(request.route)
        judgement = judge(traceback, assembly.before, on_stream=on_stream, stopping=worker.is_stopping)
        self._totals.unrelated += judgement.unrelated
        worker.fails_to_start |= traceback.is_of_start
        self._plain.is_server |= traceback.is_of_server
        if judgement.streams:
            self._groups.saw_stream(request.route)
        if judgement.cause is not None:
            self._tell(worker, judgement, request, traceback, self._sight(assembly, traceback))

    def _sight(self, assembly: Assembly, traceback: Traceback) -> Sight:
        last = traceback.raised[-1]
        text = f"{last.type}: {last.message}" if last.message else last.type
        return Sight(self._name, assembly.number, text, assembly.request.time, traceback.where)

    def _tell(self, worker: Worker, judgement: Judgement, request: Request, traceback: Traceback, sight: Sight) -> None:
        cause = judgement.cause or ""
        while worker.failed and sight.number - worker.failed[0][1] > TOLD_BEFORE:
            worker.failed.popleft()
        if cause == "producer-failed" and worker.failed:
            # unbroken has said it in a line of its own, and the framework says it again with the traceback.
            self._groups.add(cause, worker.failed.popleft()[0], sight, 0)
        elif traceback.is_of_hypercorn:
            self._end_orphan(worker, None)
            worker.orphan = Orphan(cause, request.route, sight, judgement.needs, judgement.streams)
            worker.patience = ORPHANED
        else:
            self._groups.suspect(cause, request.route, sight, judgement.needs)

    def _settle_orphan(self, worker: Worker, line: Line) -> None:
        """Give hypercorn's traceback the request, which it logs when that has ended, without a status."""
        if worker.orphan is not None:
            access = access_in(line)
            worker.patience -= 1
            if access is not None and access.status is None:
                self._end_orphan(worker, access.route)
            elif worker.patience <= 0:
                self._end_orphan(worker, None)

    def _end_orphan(self, worker: Worker, route: str | None) -> None:
        orphan, worker.orphan = worker.orphan, None
        if orphan is not None:
            self._groups.suspect(orphan.cause, route or orphan.route, orphan.sight, orphan.needs)
            if orphan.streams:
                self._groups.saw_stream(route)

    def end(self) -> None:
        """Tell what is still open: the log has ended."""
        for worker in self._workers.values():
            self._end_worker(worker)
        self._sends.settle(certain=self._plain.is_server)
        self._workers.clear()
        self._open.clear()

    def _end_worker(self, worker: Worker) -> None:
        if worker.partial:
            self._take_whole(worker, replace(parse_line(worker.partial), worker=worker.name))
        for assembly in worker.assemblies:
            self._judge(worker, assembly)
        self._end_orphan(worker, None)
        worker.flood.end()
        for shutdown in worker.shutdowns.values():
            shutdown.lost(self._groups)


def _expected(worker: Worker) -> bool:
    return any(assembly.expects_header for assembly in worker.assemblies)
