"""An HTTP/2 server that sends some numbers on each stream, and then resets the stream alone."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h2.config
import h2.connection
import h2.errors
import h2.events

from .origin import event

__all__ = ["Http2Origin", "resetting"]

HEADERS = [(":status", "200"), ("content-type", "text/event-stream")]


class _Connection(socketserver.BaseRequestHandler):
    server: Http2Origin
    request: socket.socket

    def handle(self) -> None:
        """Answer every stream of one connection, until the client leaves."""
        self.server.connections += 1
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._http.initiate_connection()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):
            self._flush()
            while data := self.request.recv(65536):
                for received in self._http.receive_data(data):
                    if isinstance(received, h2.events.RequestReceived):
                        self._answer(received.stream_id, dict(received.headers))
                self._flush()

    def _answer(self, stream: int, headers: dict[bytes, bytes]) -> None:
        seen = int(headers.get(b"last-event-id", b"0"))
        if seen >= self.server.total:
            self._http.send_headers(stream, [(":status", "204")], end_stream=True)
            return
        self._http.send_headers(stream, HEADERS)
        self._http.send_data(stream, b"".join(event(number) for number in range(seen + 1, seen + 11)) + b"data: cut")
        self._flush()
        self._http.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)

    def _flush(self) -> None:
        self.request.sendall(self._http.data_to_send())


class Http2Origin(socketserver.ThreadingTCPServer):
    """Serves numbers up to `total`, ten to a stream."""

    def __init__(self, total: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.total = total
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


@contextmanager
def resetting(total: int) -> Iterator[Http2Origin]:
    """Run a server for as long as the context is open."""
    with Http2Origin(total) as origin:
        thread = threading.Thread(target=origin.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield origin
        finally:
            origin.shutdown()
            thread.join()
