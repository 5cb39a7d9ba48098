"""HTTP/1.1, by h11."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.endpoint.connection import Connection
from unbroken.diagnose.endpoint.exchange import Arrival, End, Ended, Head, Request
from unbroken.diagnose.endpoint.target import Target
from unbroken.errors import MissingExtraError

try:
    import h11
except ImportError as exc:
    raise MissingExtraError("h11", "cli") from exc

__all__ = ["Http1Exchange"]

HEAD_BYTES: Final = 256 * 1024
"""The largest head that is read."""


class Http1Exchange:
    """One request by HTTP/1.1 and its response, as its bytes arrive."""

    def __init__(self, connection: Connection, target: Target, request: Request) -> None:
        self._connection = connection
        self._target = target
        self._request = request
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._head: Head | None = None

    @property
    def unsent(self) -> int:
        """Nothing: TCP alone says when to go on."""
        return 0

    async def send(self) -> Ended | None:
        """Send the request; return why it cannot be sent."""
        try:
            data = self._encoded()
        except h11.LocalProtocolError as exc:
            return Ended(End.UNSENT, str(exc))
        await self._connection.send(data)
        return None

    def _encoded(self) -> bytes:
        body = self._request.body
        fields = (("host", self._target.authority), *self._request.headers)
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        if body is not None:
            headers.append((b"content-length", b"%d" % len(body)))
        request = h11.Request(method=self._request.method, target=self._target.path, headers=headers)
        return (
            (self._http.send(request) or b"")
            + (self._http.send(h11.Data(data=body or b"")) or b"")
            + (self._http.send(h11.EndOfMessage()) or b"")
        )

    async def receive(self) -> Arrival:
        """Return what comes next."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                return self._broken(exc)
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._connection.receive())
            elif arrival := self._arrival(event):
                return arrival

    def _arrival(self, event: object) -> Arrival | None:
        match event:
            case h11.Response(status_code=status, headers=headers, http_version=version):
                fields = tuple((name.decode("latin-1"), value) for name, value in headers)
                self._head = Head(status, version.decode("ascii"), fields)
                return self._head
            case h11.Data(data=data):
                return bytes(data) or None
            case h11.EndOfMessage():
                return Ended(self._end())
            case h11.ConnectionClosed() | h11.PAUSED:
                return Ended(End.CLOSED)
        return None  # a 1xx

    def _end(self) -> End:
        head = self._head
        if head is None or self._request.method == "HEAD" or head.status in (204, 304):
            return End.COMPLETE
        # RFC 9112, 6.3: without either of these the body ends with the connection.
        framed = head.get("content-length") is not None or head.get("transfer-encoding") is not None
        return End.COMPLETE if framed else End.CLOSED

    def _broken(self, exc: h11.RemoteProtocolError) -> Ended:
        # Also raised for an EOF in the middle, which is all that a cut looks like; then there is nothing left to read.
        _, at_end = self._http.trailing_data
        return Ended(End.TRUNCATED if at_end else End.MALFORMED, str(exc))
