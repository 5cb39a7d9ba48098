"""Several servers with one log, and the command that runs one of them.

python -m tests.faults.hub.site --host 127.0.0.1 --port 8000 [--break links|feed]
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.supervisors import Multiprocess

from tests.faults.servers import Server, ServerKind

from .mutations import MUTATIONS

__all__ = ["kind", "main", "serving"]

APPLICATION = "tests.faults.hub.app:app"
SEND_BUFFER = 8192
"""Bytes."""


def kind(*more: str) -> ServerKind:
    """Return the server that this module runs."""
    return ServerKind("site", ("tests.faults.hub.site", "--host", "{host}", "--port", "{port}", *more))


@contextmanager
def serving(which: str | ServerKind) -> Iterator[Server]:
    """Run a server with the application, and stop it."""
    server = Server.start(which, APPLICATION)
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    """Run one server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http", default="auto")
    parser.add_argument("--loop", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--break", choices=MUTATIONS, dest="mutation")
    chosen = parser.parse_args()
    if chosen.mutation:
        MUTATIONS[chosen.mutation]()
    config = uvicorn.Config(
        APPLICATION,
        host=chosen.host,
        port=chosen.port,
        http=chosen.http,
        loop=chosen.loop,
        workers=chosen.workers,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    with config.bind_socket() as sock:
        # Each connection has it from here: who freezes is felt after kilobytes, and not after megabytes.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if chosen.workers > 1:
            Multiprocess(config, sockets=[sock]).run()
        else:
            uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
