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

    async def send(self) -> None:
        """Send the connection's preface and the request."""
        self._http.initiate_connection()
        body = self._request.body
        fields = (
            (":method", self._request.method),
            (":scheme", self._target.scheme),
            (":authority", self._target.authority),
            (":path", self._target.path),
            *self._request.headers,
        )
        headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
        self._http.send_headers(STREAM, headers, end_stream=body is None)
        if body is not None:
            self._send_body(body)
        await self._flush()

    def _send_body(self, body: bytes) -> None:
        size = self._http.max_outbound_frame_size
        # Beyond the first window the server would have to open it first: what is left is not sent. The smallest
        # first window of a real server is 64 KiB, which no request for a stream comes near.
        body = body[: self._http.local_flow_control_window(STREAM)]
        for start in range(0, len(body), size):
            self._http.send_data(STREAM, body[start : start + size])
        self._http.end_stream(STREAM)

    async def receive(self) -> Arrival:
        """Return what comes next."""
        while not self._arrivals:
            data = await self._connection.receive()
            if not data:
                return Ended(End.TRUNCATED, "the connection was closed before the end of the stream")
            try:
                events = self._http.receive_data(data)
            except h2.exceptions.ProtocolError as exc:
                return Ended(End.MALFORMED, str(exc) or type(exc).__name__)
            for event in events:
                self._take(event)
            await self._flush()
        return self._arrivals.popleft()

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
                self._arrivals.append(Ended(End.COMPLETE))
            case h2.events.StreamReset(error_code=code):
                self._arrivals.append(Ended(End.RESET, f"RST_STREAM, code {code!s}"))
            case h2.events.ConnectionTerminated(error_code=code):
                self._arrivals.append(Ended(End.RESET, f"GOAWAY, code {code!s}"))


def _head(headers: list[tuple[bytes, bytes]]) -> Head:
    status = next((int(value) for name, value in headers if name == b":status" and value.isdigit()), 0)
    fields = tuple((name.decode("latin-1").lower(), value) for name, value in headers if not name.startswith(b":"))
    return Head(status, "2", fields)
