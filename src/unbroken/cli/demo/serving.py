"""A real server for the demo, and what the terminal says."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import webbrowser
from types import FrameType

import uvicorn
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from starlette.applications import Starlette

from unbroken.cli.demo.app import MAX_AGE, demo_app
from unbroken.cli.demo.board.process import board_process
from unbroken.cli.demo.console import log_to_console
from unbroken.cli.demo.story import AskedToRaiseError
from unbroken.cli.demo.visits import Visits

__all__ = ["serve"]

BOARD = "board/"
LOOPBACK = ("127.0.0.1", "localhost")
WILDCARD = "0.0.0.0"  # noqa: S104 - recognised, not bound


def serve(listener: socket.socket, *, wanted_port: int = 0, open_page: bool = False, max_age: float = MAX_AGE) -> None:
    """Serve the demo on `listener` until SIGINT or SIGTERM, which end it within about a second."""
    console = Console()
    log_to_console(console, _without_asked_traceback)
    address = _address(listener)
    _announce(console, address, wanted_port)
    # uvicorn raises the signal that stopped it again, once everything is closed: then that is no news any more.
    signal.signal(signal.SIGTERM, _leave)
    try:
        with board_process() as board:
            asyncio.run(_serve(demo_app(Visits(address), board, max_age), listener, open_page))
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        console.print("[dim]Every stream is closed. Goodbye.[/]")


async def _serve(app: Starlette, listener: socket.socket, open_page: bool) -> None:
    # timeout_graceful_shutdown: for a reader of the other response that takes nothing, and so never sees its end.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    if open_page:
        asyncio.get_running_loop().call_soon(webbrowser.open, _url(_address(listener)))
    await uvicorn.Server(config).serve(sockets=[listener])


def _leave(signal_number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _address(listener: socket.socket) -> tuple[str, int]:
    """Return where the listener is reached from this machine."""
    host, port = listener.getsockname()[:2]
    return ("127.0.0.1" if host == WILDCARD else host), port


def _url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}/"


def _announce(console: Console, address: tuple[str, int], wanted_port: int) -> None:
    if wanted_port not in (0, address[1]):
        console.print(f"Port {wanted_port} is taken: this is on {address[1]}.")
    text = Text()
    text.append(_url(address), "bold link " + _url(address))
    text.append("\n\nA page that streams events, and that can hurt its own stream.\n")
    text.append("Left: what the browser sees. Right: what the server knows.\n\n")
    text.append(_url(address) + BOARD, "bold link " + _url(address) + BOARD)
    text.append("\n\nA board for several tabs. Kill its server, cut a tab off: nothing is lost.\n\n")
    text.append("Each stream's end is told below. Ctrl-C ends the demo.", "dim")
    if address[0] not in LOOPBACK:
        text.append("\nOpen it on this machine: its hops listen on 127.0.0.1 only.")
    console.print(Panel(text, title="unbroken demo", border_style="red", expand=False, padding=(1, 3)))


def _without_asked_traceback(line: logging.LogRecord) -> bool:
    """Tell of an error that the page asked for in one line; every other one keeps its traceback."""
    error = line.exc_info[1] if line.exc_info else None
    if isinstance(error, AskedToRaiseError):
        line.msg, line.args, line.exc_info = f"the framework was told, once: {error!r}", (), None
    return True
