"""The board's server, a process of its own: `python -m unbroken.cli.demo.board <socket> <directory>`.

It ends by SIGTERM, or when the demo that started it is gone.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import threading

import uvicorn
from starlette.applications import Starlette

from unbroken.cli.demo.board.endpoints import Board
from unbroken.cli.demo.console import log_to_console

__all__ = ["main"]


def main(listener: socket.socket, directory: str) -> None:
    """Serve the board until SIGTERM, or until standard input ends: its other end is the demo's."""
    log_to_console()
    board = Board(f"{directory}/board.db")
    app = Starlette(routes=board.routes(), lifespan=board.hub.lifespan)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    orphaned = threading.Event()
    threading.Thread(target=_watch_stdin, args=(server, orphaned), daemon=True).start()
    asyncio.run(server.serve(sockets=[listener]))
    if orphaned.is_set():  # the demo was killed, and cannot tidy up
        shutil.rmtree(directory, ignore_errors=True)


def _watch_stdin(server: uvicorn.Server, orphaned: threading.Event) -> None:
    sys.stdin.buffer.read()
    orphaned.set()
    server.should_exit = True


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
