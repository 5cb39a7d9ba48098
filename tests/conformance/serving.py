"""A server that answers with the exact bytes of a vector, in one chunk or in single bytes."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from .vectors import VECTORS

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
_STREAMS = {vector.id: vector.stream for vector in VECTORS}

CUTS = ("whole", "bytes")
"""How a stream is sent: the first part of the path. The second is the vector's id."""


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        _, path, _ = self.rfile.readline().split(b" ")
        while self.rfile.readline().strip():
            pass
        _, cut, name = unquote(path.decode()).split("/")
        stream = _STREAMS[name]
        pieces = [stream] if cut == "whole" else [stream[at : at + 1] for at in range(len(stream))]
        self.wfile.write(_HEAD)
        for piece in filter(None, pieces):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 64


@contextmanager
def serving() -> Iterator[str]:
    """Serve all vectors on a free port of the loopback, and give the URL that comes before `/cut/id`."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
