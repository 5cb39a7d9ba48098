"""Tracebacks out of the lines of a log, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from unbroken.diagnose.logs.modules import (
    APPLICATION,
    Owner,
    is_client_streaming,
    is_responding,
    is_streaming,
    module_of,
    owner_of,
)
from unbroken.diagnose.logs.requests import Request

__all__ = ["HEADER", "Assembly", "Frame", "Raised", "Traceback", "parse_traceback"]

HEADER: Final = re.compile(r"^\s*(?:[|+] )?(?:Exception Group )?Traceback \(most recent call last\):\s*$")
CHAIN: Final = re.compile(
    r"^\s*(?:\| )?(?:During handling of the above exception, another|The above exception was the direct cause of)"
)
FRAME: Final = re.compile(r'^\s+File "([^"]{1,1000})", line (\d+)(?:, in (.+))?')
RAISED: Final = re.compile(r"^([A-Za-z_][\w.<>]*)(?::(?:\s+(.*))?)?$")
BOX: Final = re.compile(r"^\s+[|+](?: |$)|^\s+\+-")
BOX_END: Final = re.compile(r"^\s+\+-{20,}$")
BOX_PREFIX: Final = re.compile(r"^\s+[|+](?: |$)")
LOG: Final = re.compile(
    r"^\[?(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b|^\[?\d{4}[-/]\d\d|^\d{1,3}(?:\.\d{1,3}){3}[ :]|^\w+="
)
"""How a line begins that is none of a traceback's, but another message of the same log."""

EVENTS: Final = re.compile(
    r"(?:^|[\W_])(?:sse|events?|ServerSentEvent|EventSource\w{0,20})(?:$|[\W_])|\bdata: |event-stream"
)
"""How functions are called, and what they yield, that make events."""
STARTING: Final = frozenset({("multiprocessing.process", "_bootstrap"), ("starlette.routing", "lifespan")})
ASGI: Final = frozenset({"uvicorn", "uvicorn_worker", "hypercorn", "granian", "daphne", "starlette"})
BACKGROUND: Final = "starlette.background"

LONGEST: Final = 2000
"""Lines of one traceback that are kept; of a longer one the beginning and the end are."""
PATIENCE: Final = 1000
"""Lines of others, amid a traceback, after which it is taken for ended."""


class _State(Enum):
    FRAMES = "frames"
    RAISED = "raised"
    GAP = "gap"
    CHAINED = "chained"


class Assembly:
    """A traceback whose lines are still coming."""

    def __init__(self, number: int, header: str, before: tuple[str, ...], request: Request) -> None:
        self.number = number
        self.before = before
        """The lines before it: what the logger said."""
        self.request = request
        self.lines = [header]
        self.done = False
        self.dropped = 0
        self._state = _State.FRAMES
        self._others = 0

    @property
    def expects_header(self) -> bool:
        """The header of a chained or grouped exception is what comes next."""
        return self._state is _State.CHAINED

    def feed(self, text: str) -> bool:
        """Take the next line, and say whether it belongs here. `done` says that no further one does."""
        if self.done:
            return False
        taken = getattr(self, f"_in_{self._state.value}")(text)
        if taken:
            self._keep(text)
        return bool(taken)

    @property
    def takes_indented(self) -> bool:
        """Any indented line that is in no box belongs here."""
        return self._state is _State.FRAMES and not self.done

    def extend(self, lines: list[str]) -> None:
        """Take many such lines at once."""
        for text in lines:
            self._keep(text)

    def overhear(self) -> None:
        """A line of somebody else came by."""
        self._others += 1
        self.done = self.done or self._others > PATIENCE

    def _keep(self, text: str) -> None:
        self.lines.append(text)
        if len(self.lines) > LONGEST:
            del self.lines[LONGEST // 4]
            self.dropped += 1

    def _in_frames(self, text: str) -> bool:
        if BOX_END.match(text):
            self._state = _State.RAISED
            return True
        if text[:1] in (" ", "\t"):
            return True
        if LOG.match(text):
            self.overhear()
            return False
        self._state = _State.RAISED
        self.done = RAISED.match(text) is None
        return not self.done

    def _in_raised(self, text: str) -> bool:
        if not text.strip():
            self._state = _State.GAP
            return True
        if BOX.match(text):
            self._state = _State.RAISED if BOX_END.match(text) else _State.FRAMES
            return True
        return self._in_gap(text)

    def _in_gap(self, text: str) -> bool:
        if CHAIN.match(text):
            self._state = _State.CHAINED
            return True
        self.done = bool(text.strip())
        return not self.done

    def _in_chained(self, text: str) -> bool:
        if HEADER.match(text):
            self._state = _State.FRAMES
            return True
        self.done = bool(text.strip())
        return not self.done


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a traceback."""

    file: str
    line: int
    function: str
    source: str = ""

    @property
    def module(self) -> str:
        """Its module's name, or APPLICATION."""
        return module_of(self.file)


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception of a traceback."""

    type: str
    message: str
    frames: tuple[Frame, ...]
    part: int
    """Which of the chain it is in; the last part is what was logged."""

    @property
    def is_group(self) -> bool:
        """It is an ExceptionGroup."""
        return self.type.endswith("ExceptionGroup")

    @property
    def text(self) -> str:
        """It as Python writes it."""
        return f"{self.type}: {self.message}"

    @property
    def owner(self) -> Owner:
        """Whose code raised it."""
        return owner_of([frame.module for frame in self.frames])


@dataclass(slots=True)
class Traceback:
    """What a traceback says."""

    raised: list[Raised] = field(default_factory=list)

    @property
    def frames(self) -> list[Frame]:
        """All frames, of all exceptions."""
        return [frame for raised in self.raised for frame in raised.frames]

    @property
    def leaves(self) -> list[Raised]:
        """What was logged in the end; of groups, what is in them."""
        last = [raised for raised in self.raised if raised.part == self.raised[-1].part] if self.raised else []
        # granian writes groups without what is in them.
        return [raised for raised in last if not raised.is_group] or last[-1:]

    @property
    def responds(self) -> bool:
        """It is about a response that is sent piece by piece: an event stream, or a file."""
        return any(_goes_through(raised.frames, is_responding) for raised in self.raised)

    @property
    def streams(self) -> bool:
        """It is surely about an event stream that is sent: by code that sends nothing else, or by what it says."""
        surely = any(_goes_through(raised.frames, is_streaming) for raised in self.raised)
        return surely or (self.responds and any(_speaks_of_events(frame) for frame in self.frames))

    @property
    def reads_stream(self) -> bool:
        """It is about a stream that is read."""
        return any(is_client_streaming(frame.module, frame.function) for frame in self.frames)

    @property
    def is_of_start(self) -> bool:
        """It ended its process, or kept it from starting."""
        imports = any(frame.function == "<module>" for raised in self.raised for frame in raised.frames[1:])
        return imports or any((frame.module, frame.function) in STARTING for frame in self.frames)

    @property
    def is_of_server(self) -> bool:
        """An ASGI server or framework was at work."""
        return any(frame.module.partition(".")[0] in ASGI for frame in self.frames)

    @property
    def is_of_hypercorn(self) -> bool:
        """It is hypercorn's, which logs requests when they have ended."""
        return any(frame.module.startswith("hypercorn.") for frame in self.frames)

    @property
    def where(self) -> str | None:
        """The application's innermost frame, for people."""
        own = [frame for frame in self.frames if frame.module == APPLICATION]
        return f"{own[-1].file}:{own[-1].line} in {own[-1].function}" if own else None


def _goes_through(frames: tuple[Frame, ...], is_such: Callable[[str, str], bool]) -> bool:
    # What a BackgroundTask raises comes through the response too, when its stream has ended.
    if any(frame.module == BACKGROUND for frame in frames):
        return False
    return any(is_such(frame.module, frame.function) for frame in frames)


def _speaks_of_events(frame: Frame) -> bool:
    return frame.module == APPLICATION and bool(EVENTS.search(frame.function) or EVENTS.search(frame.source))


def parse_traceback(lines: list[str]) -> Traceback:
    """Read the lines of a traceback, chained and grouped exceptions included."""
    traceback, frames, part = Traceback(), list[Frame](), 0
    for raw in lines:
        text = BOX_PREFIX.sub("", raw)
        if HEADER.match(raw):
            frames = []
        elif CHAIN.match(raw):
            part += 1
        elif found := FRAME.match(text):
            frames.append(Frame(found[1], int(found[2][:9]), found[3] or ""))
        elif text[:1] in (" ", "\t"):
            _add_source(frames, text)
        elif (found := RAISED.match(text)) and not BOX_END.match(raw):
            traceback.raised.append(Raised(found[1], found[2] or "", tuple(frames), part))
            frames = []
    return traceback


def _add_source(frames: list[Frame], text: str) -> None:
    if frames and not frames[-1].source:
        last = frames[-1]
        frames[-1] = Frame(last.file, last.line, last.function, text.strip())
