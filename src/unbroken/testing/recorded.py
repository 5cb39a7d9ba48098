"""Recorded event streams, played back to a client in whichever pieces."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import anyio.lowlevel

from unbroken.errors import ConfigurationError
from unbroken.testing.scanning import EventScanner

if TYPE_CHECKING:
    from unbroken.testing.connection import Receive, Scope, Send
    from unbroken.testing.recorded_transport import RecordedTransport

__all__ = ["Cuts", "RecordedStream"]

Cuts = Literal["whole", "event", "byte"] | Sequence[int]
"""Where a body is cut: nowhere, behind each event, behind each byte, or into pieces of these sizes, over and over."""


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """The body of an event stream as it was once received, to be received again.

    It is an ASGI application that answers every request with the recording: give it to `open_stream`,
    `sse_client` or a server. `transport()` gives it to a client of httpx2 or httpx without
    an application, sync or async. Values, not to be changed: `cut` and `truncated`
    return another one.

    Example:
        recording = RecordedStream.load("tests/answer.sse").cut("byte")

    Args:
        body: The bytes of the body, as `unbroken tail --save` and `curl --no-buffer` write them.
        cuts: The pieces in which it is sent: `"event"` (the default), `"whole"`, `"byte"`, or a list of sizes.
        incomplete: The body breaks off after its last byte, instead of coming to its end.
        headers: The response's headers; the content type of an event stream by default.

    Raises:
        ConfigurationError: `body` is no `bytes`, or `cuts` is none of these.
    """

    body: bytes = field(repr=False)
    cuts: Cuts = "event"
    incomplete: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})

    def __post_init__(self) -> None:
        if not isinstance(self.body, bytes):
            raise ConfigurationError(f"body={type(self.body).__name__}: give bytes, as they are on the wire")
        if not _can_cut(self.cuts):
            raise ConfigurationError(
                f"cuts={self.cuts!r} is none of 'whole', 'event', 'byte', or a list of sizes above 0"
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the recording in a file of raw bytes.

        Raises:
            OSError: The file cannot be read.
        """
        return cls(Path(path).read_bytes())

    def cut(self, cuts: Cuts) -> Self:
        """Return the same recording, sent in other pieces."""
        return dataclasses.replace(self, cuts=cuts)

    def truncated(self, *, after_events: int | None = None, after_bytes: int | None = None) -> Self:
        """Return the recording up to there, where its body breaks off: a client of httpx2 gets `RemoteProtocolError`.

        Give one of the two; `after_events` breaks it off behind the blank line of that event.

        Raises:
            ConfigurationError: None or both are given, or the recording does not reach so far.
        """
        if (after_events is None) == (after_bytes is None):
            raise ConfigurationError("truncated() takes either after_events= or after_bytes=: give one of them")
        places = [0, *self._ends()] if after_bytes is None else range(len(self.body) + 1)
        after, what = (after_events, "events") if after_bytes is None else (after_bytes, "bytes")
        assert after is not None
        if not 0 <= after < len(places):
            raise ConfigurationError(
                f"after_{what}={after}, and the recording has {len(places) - 1} {what}: give at most that"
            )
        return dataclasses.replace(self, body=self.body[: places[after]], incomplete=True)

    def pieces(self) -> Iterator[bytes]:
        """Return the body's pieces, one after the other."""
        start = 0
        for end in self._places_of_cuts():
            if piece := self.body[start:end]:
                yield piece
            start = end

    def transport(self) -> RecordedTransport:
        """Return a transport for an `httpx2.Client` or `AsyncClient` (or httpx's) that answers with the recording.

        Raises:
            MissingExtraError: httpx2 is not installed.
        """
        from unbroken.testing.recorded_transport import RecordedTransport

        return RecordedTransport(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the recording, as an ASGI application."""
        if scope["type"] != "http":
            raise ConfigurationError(f"a recorded stream answers HTTP requests, and this is {scope['type']!r}")
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            # Servers take a message without suspending; the client's side shall have its turn between two.
            await anyio.lowlevel.checkpoint()
        if not self.incomplete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _places_of_cuts(self) -> Iterator[int]:
        sizes: Sequence[int]
        match self.cuts:
            case "whole":
                return iter((len(self.body),))
            case "event":
                return iter((*self._ends(), len(self.body)))
            case "byte":
                sizes = (1,)
            case given:
                sizes = given
        reached = itertools.accumulate(itertools.cycle(sizes))
        return itertools.chain(itertools.takewhile(lambda place: place < len(self.body), reached), (len(self.body),))

    def _ends(self) -> list[int]:
        scanner = EventScanner()
        scanner.feed(b"HTTP/1.1 200 OK\r\n\r\n")  # it looks for events in bodies, and a head begins one
        return scanner.feed(self.body)


def _can_cut(cuts: object) -> bool:
    if isinstance(cuts, str):
        return cuts in ("whole", "event", "byte")
    return isinstance(cuts, Sequence) and bool(cuts) and all(type(size) is int and size > 0 for size in cuts)
