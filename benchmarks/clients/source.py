"""A server of one stream, `python -m benchmarks.clients.source`: `/PART/EVENTS`, as fast as it is taken."""

from __future__ import annotations

import signal
import socketserver
import sys
from contextlib import suppress
from functools import cache

from benchmarks.clients.streams import tokens
from benchmarks.server import LIFETIME, SERVER_CORE, Process, pin

__all__ = ["Source"]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
_TOGETHER = {"bulk": 100, "tokens": 1}
"""How many events are in an HTTP chunk."""


class Source(Process):
    """The server in a process of its own."""

    def __init__(self) -> None:
        super().__init__("source", [sys.executable, "-m", "benchmarks.clients.source"])


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        _, part, events = self.rfile.readline().split()[1].decode().split("/")
        while self.rfile.readline().strip():
            pass
        with suppress(ConnectionError):  # a client that has counted its events need not wait for the end
            self.wfile.write(_body(_TOGETHER[part], int(events)))


@cache
def _body(together: int, events: int) -> bytes:
    blocks = tokens(events)
    chunks = [b"".join(blocks[at : at + together]) for at in range(0, events, together)]
    return _HEAD + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def main() -> None:
    """Serve on a free port, and print the port."""
    pin(SERVER_CORE)
    signal.alarm(LIFETIME)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
