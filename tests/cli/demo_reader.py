"""A page of the demo without a browser: it holds a visit open, and reads streams through its hop."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any, Self

from unbroken.wire import DecodedEvent, Decoder

__all__ = ["Reader", "Visitor"]

TIMEOUT = 20.0
Row = dict[str, Any]


class Reader:
    """One event stream over one connection."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._connection.request("GET", path)
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self.events = self._read()

    def _read(self) -> Iterator[DecodedEvent]:
        decoder = Decoder()
        while chunk := self._response.read1():
            yield from decoder.feed(chunk)

    def close(self) -> None:
        """Close the connection, with the response unfinished."""
        self._response.close()
        self._connection.close()


class Visitor:
    """An open page: what the demo welcomes it with, what it reports, what may be done."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reports = Reader(port, "/visit")
        welcome = json.loads(next(self._reports.events).data)
        self.name: str = welcome["visitor"]
        self.hop: int = welcome["hop"]
        self.code: dict[str, list[str]] = welcome["code"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reports.close()

    def listen(self, through: str, after: int = 0) -> tuple[Reader, int]:
        """Open a stream through the hop, and return it with its number in the ledger."""
        story = Reader(self.hop, f"/story/{through}?visitor={self.name}&after={after}")
        return story, int(next(story.events).data)

    def do(self, deed: str) -> int:
        """Do something to this page's stream, and return the status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.request("POST", f"/visit/{self.name}/{deed}")
            return connection.getresponse().status
        finally:
            connection.close()

    def row(self, number: int, as_wanted: Callable[[Row], bool]) -> Row:
        """Return the server's row for a stream as soon as it is as wanted; the test's timeout is the deadline."""
        for report in self._reports.events:
            for row in json.loads(report.data):
                if row["number"] == number and as_wanted(row):
                    return dict(row)
        raise AssertionError("the reports ended")
