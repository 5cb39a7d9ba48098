"""The connections of a `SyncEventSource`, one after the other, through a synchronous client."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from unbroken.client.answer import MAX_REFUSAL_BYTES, Answer
from unbroken.client.connection import REFUSAL_TIMEOUT
from unbroken.client.http import HTTP, OutgoingRequest

__all__ = ["SyncConnection"]


class SyncConnection:
    """At most one response at a time. Time limits are those of the client's transport, at its sockets."""

    __slots__ = ("_closing", "_http", "_pieces", "_response", "_stream", "_url")

    def __init__(self, client: Any, auth: Any, url: str, closing: threading.Event) -> None:
        self._http = HTTP(client, auth, is_async=False)
        self._url = url
        self._closing = closing
        self._response: Any = None
        self._pieces: Iterator[bytes] | None = None
        self._stream: Any = None  # what the transport reads from

    def open(self, request: OutgoingRequest, connect_timeout: float, answer_timeout: float | None) -> Answer:
        """Send a request, and return the answer without its body.

        Raises:
            EventSourceError: there is no answer.
            ConfigurationError: there is nothing that could be sent.
        """
        outgoing = self._http.build(request, connect_timeout=connect_timeout, read_timeout=answer_timeout)
        outgoing.extensions["trace"] = self._trace
        try:
            self._response = self._http.client.send(outgoing, **self._http.sending)
        except Exception as error:
            translated = self._http.connecting_failed(error, self._url, connect_timeout, answer_timeout)
            if translated is None:
                raise
            raise translated from error
        self._stream = self._response.extensions.get("network_stream", self._stream)
        self._pieces = self._response.iter_bytes()
        return self._http.answer(self._response)

    def read(self, idle_timeout: float | None) -> bytes | None:
        """Return the next piece of the body, None at its end.

        The time limit of the first call holds for the response.

        Raises:
            EventSourceError: it breaks off, or nothing comes in time.
        """
        assert self._pieces is not None
        self._http.set_read_timeout(self._response, idle_timeout)
        try:
            return next(self._pieces, None)
        except Exception as error:
            translated = self._http.reading_failed(error, self._url, idle_timeout)
            if translated is None:
                raise
            raise translated from error

    def first_bytes(self) -> bytes:
        """Return the beginning of a body that is no event stream."""
        body = bytearray()
        until = time.monotonic() + REFUSAL_TIMEOUT
        # Whatever goes wrong with the body of a refusal, the refusal is what to tell.
        with contextlib.suppress(Exception):
            while len(body) < MAX_REFUSAL_BYTES and time.monotonic() < until:
                if (piece := self.read(REFUSAL_TIMEOUT)) is None:
                    break
                body += piece
        return bytes(body[:MAX_REFUSAL_BYTES])

    def wake(self) -> None:
        """Let a read in another thread end. It may come at any moment, so it only looks."""
        stream = self._stream
        connection = None if stream is None else stream.get_extra_info("socket")
        if isinstance(connection, socket.socket):
            # A close() would not wake it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        # httpcore tells its steps; so a connection can be woken before it has answered.
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = info.get("return_value")
            if self._closing.is_set():
                self.wake()

    def let_go(self) -> None:
        """Close the response. A body that is not at its end takes its connection with it."""
        response, self._response, self._pieces, self._stream = self._response, None, None, None
        if response is not None:
            # It may be dead already, and how it closes is of no interest any more.
            with contextlib.suppress(Exception):
                response.close()

    def close(self) -> None:
        """Let go, and close the client too, unless it was given."""
        try:
            self.let_go()
        finally:
            if self._http.is_own:
                self._http.client.close()
