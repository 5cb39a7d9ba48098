"""HTTP/2, by h2: one stream on a connection of its own."""

from __future__ import annotations

from collections import deque
from typing import Final

from unbroken.diagnose.endpoint.connection import Connection
from unbroken.diagnose.endpoint.exchange import Arrival, End, Ended, Head, Request
from unbroken.diagnose.endpoint.target import Target
from unbroken.errors import MissingExtraError

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError as exc:
    raise MissingExtraError("h2", "cli") from exc

__all__ = ["Http2Exchange"]

STREAM: Final = 1


class Http2Exchange:
    """One request by HTTP/2 and its response, as its bytes arrive."""

    def __init__(self, connection: Connection, target: Target, request: Request) -> None:
        self._connection = connection
        self._target = target
        self._request = request
        # What the examination is after are the very headers that h2 would refuse: see RFC 9113, 8.2.2.
        config = h2.config.H2Configuration(client_side=True, header_encoding=None, validate_inbound_headers=False)
        self._http = h2.connection.H2Connection(config)
        self._arrivals: deque[Arrival] = deque()
        self._body = memoryview(request.body or b"")
        self._is_body_due = request.body is not None

    @property
    def unsent(self) -> int:
        """Bytes of the body for which the server's window has no room yet."""
        return len(self._body) if self._is_body_due else 0

    async def send(self) -> Ended | None:
        """Send the connection's preface and the request; return why it cannot be sent."""
        try:
            self._http.initiate_connection()
            self._send_head()
            self._send_body()
        except h2.exceptions.ProtocolError as exc:
            return Ended(End.UNSENT, str(exc) or type(exc).__name__)
        await self._flush()
        return None

    def _send_head(self) -> None:
        fields = (
            (":method", self._request.method),
            (":scheme", self._target.scheme),
            (":authority", self._target.authority),
            (":path", self._target.path),
            *self._request.headers,
        )
        headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
        self._http.send_headers(STREAM, headers, end_stream=not self._is_body_due)

    def _send_body(self) -> None:
        """Send what the server's window has room for. A body is never ended before all of it was sent."""
        while self.unsent and (room := self._room()) > 0:
            self._http.send_data(STREAM, bytes(self._body[:room]))
            self._body = self._body[room:]
        if self._is_body_due and not self._body:
            self._is_body_due = False
            self._http.end_stream(STREAM)

    def _room(self) -> int:
        return min(self._http.local_flow_control_window(STREAM), self._http.max_outbound_frame_size)

    async def receive(self) -> Arrival:
        """Return what comes next."""
        while not self._arrivals:
            data = await self._connection.receive()
            if not data:
                return Ended(End.TRUNCATED, "the connection was closed before the end of the stream")
            try:
                self._take_all(data)
            except h2.exceptions.ProtocolError as exc:
                return Ended(End.MALFORMED, str(exc) or type(exc).__name__)
            await self._flush()
        return self._arrivals.popleft()

    def _take_all(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            self._take(event)
        self._send_body()

    async def _flush(self) -> None:
        if data := self._http.data_to_send():
            await self._connection.send(data)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(headers=list(headers)):
                self._arrivals.append(_head(headers))
            case h2.events.DataReceived(data=bytes(data), flow_controlled_length=int(length)):
                if data:
                    self._arrivals.append(data)
                self._http.acknowledge_received_data(length, STREAM)
            case h2.events.StreamEnded():
                self._end(Ended(End.COMPLETE))
            case h2.events.StreamReset(error_code=code):
                self._end(Ended(End.RESET, f"RST_STREAM, code {code!s}"))
            case h2.events.ConnectionTerminated(error_code=code):
                self._end(Ended(End.RESET, f"GOAWAY, code {code!s}"))

    def _end(self, ended: Ended) -> None:
        # RFC 9113, 8.1: who has answered in full needs no more of the request.
        self._is_body_due = False
        self._arrivals.append(ended)


def _head(headers: list[tuple[bytes, bytes]]) -> Head:
    status = next((int(value) for name, value in headers if name == b":status" and value.isdigit()), 0)
    fields = tuple((name.decode("latin-1").lower(), value) for name, value in headers if not name.startswith(b":"))
    return Head(status, "2", fields)
