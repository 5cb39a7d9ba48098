"""A client of several HTTP/2 streams on one connection, which grants flow control only where it is told to."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Callable

import h2.config
import h2.connection
import h2.errors
import h2.events

__all__ = ["Http2Client"]

READ_BYTES = 64 * 1024


class Http2Client:
    """Speaks HTTP/2 with prior knowledge over a plain socket."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.bodies: dict[int, bytearray] = defaultdict(bytearray)
        self.ends: dict[int, str] = {}
        """"complete" or "reset", by stream."""
        self.deaf: set[int] = set()
        """Streams whose windows are left to run out."""
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._sock = socket.create_connection(address, timeout=0.1)
        self._http.initiate_connection()
        # The connection's own window is opened wide, so that one deaf stream does not starve its siblings.
        self._http.increment_flow_control_window(2**30)
        self._flush()

    def get(self, path: str, *, deaf: bool = False) -> int:
        """Ask for `path` on a new stream, and return its number."""
        stream = self._http.get_next_available_stream_id()
        headers = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        if deaf:
            self.deaf.add(stream)
        self._http.send_headers(stream, headers, end_stream=True)
        self._flush()
        return stream

    def reset(self, stream: int) -> None:
        """Leave one stream."""
        self._http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def read_until(self, enough: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Read until `enough()`, and say whether it came to that in time."""
        deadline = time.monotonic() + timeout
        while not enough() and time.monotonic() < deadline:
            self._read()
        return enough()

    def close(self) -> None:
        """Leave with all streams."""
        self._sock.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except TimeoutError:
            return
        for event in self._http.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived(stream_id=int(stream), data=bytes(data)):
                self.bodies[stream] += data
                if stream not in self.deaf and event.flow_controlled_length:
                    self._http.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.StreamEnded(stream_id=int(stream)):
                self.ends[stream] = "complete"
            case h2.events.StreamReset(stream_id=int(stream)):
                self.ends[stream] = "reset"

    def _flush(self) -> None:
        if data := self._http.data_to_send():
            self._sock.sendall(data)
