"""A server that answers each request with exactly the bytes, and the end, that a test has written down."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = [
    "CHUNKED",
    "UNTIL_CLOSE",
    "Answer",
    "Exchange",
    "Origin",
    "answering",
    "chunk",
    "event",
    "refusing",
    "streaming",
]

PATIENCE = 15.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def head(*lines: str, status: str = "200 OK", content_type: str = "text/event-stream") -> bytes:
    """Return the head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *lines, "", ""]).encode()


UNTIL_CLOSE = head("Connection: close")
CHUNKED = head("Transfer-Encoding: chunked")


def chunk(body: bytes) -> bytes:
    """Return one chunk; of nothing it is the last."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(number: int) -> bytes:
    """Return an event with an id of its own."""
    return b"id: %d\ndata: %d\n\n" % (number, number)


class Exchange(BaseHTTPRequestHandler):
    """One request, on a connection of its own, and what is done with the connection."""

    server: Origin
    body: bytes

    def handle(self) -> None:
        """Answer one request; a client may go away whenever it likes."""
        with suppress(ConnectionError):
            self.handle_one_request()

    def handle_one_request(self) -> None:
        """Read the request, and answer it as the test has it."""
        self.connection.settimeout(PATIENCE)
        self.raw_requestline = self.rfile.readline()
        if self.raw_requestline and self.parse_request():
            self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.server.next_answer(self)(self)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def hold(self) -> None:
        """Do nothing until the client leaves."""
        with suppress(OSError):
            while self.connection.recv(4096):
                pass
        self.server.left.release()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    @property
    def asked_from(self) -> str | None:
        """The last event ID that the client brings."""
        return self.headers.get("Last-Event-ID")

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


Answer = Callable[[Exchange], None]


class Origin(ThreadingHTTPServer):
    """Answers the first request by the first answer, and so on; the last answer is also for all that follow."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.requests: list[Exchange] = []
        """Every request, in its order."""
        self.left = threading.Semaphore(0)
        """Released once for each client that left a connection which was held."""
        self._answers = answers
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def places(self) -> list[str | None]:
        """The last event ID of each request."""
        return [request.asked_from for request in self.requests]

    def next_answer(self, request: Exchange) -> Answer:
        """Note a request, and return what is to be done with it."""
        with self._lock:
            self.requests.append(request)
            return self._answers[min(len(self.requests), len(self._answers)) - 1]

    def shutdown_request(self, request: Any) -> None:
        """Close without more: a shutdown before would be a FIN where a reset is meant."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let threading's hook report it, which fails the test."""
        raise


@contextmanager
def answering(*answers: Answer) -> Iterator[Origin]:
    """Run a server for as long as the context is open."""
    with Origin(*answers) as origin:
        thread = threading.Thread(target=origin.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield origin
        finally:
            origin.shutdown()
            thread.join()


def streaming(*body: bytes, begin: bytes = UNTIL_CLOSE, end: str = "fin") -> Answer:
    """Return an answer: head, pieces of the body, and then `fin`, `reset`, or `hold` until the client leaves."""

    def answer(exchange: Exchange) -> None:
        exchange.send(begin)
        for piece in body:
            exchange.send(piece)
        {"fin": lambda: None, "hold": exchange.hold, "reset": exchange.reset}[end]()

    return answer


def refusing(status: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """Return an answer that is no event stream."""
    fields = {**(headers or {}), "Content-Length": str(len(body)), "Connection": "close"}
    answer = head(*(f"{name}: {value}" for name, value in fields.items()), status=status, content_type="text/plain")
    return lambda exchange: exchange.send(answer + body)
