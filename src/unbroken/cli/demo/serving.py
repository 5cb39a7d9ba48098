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

from unbroken.cli.demo.app import MAX_AGE, demo_app
from unbroken.cli.demo.story import AskedToRaiseError
from unbroken.cli.demo.visits import Visits

__all__ = ["serve"]

LOOPBACK = ("127.0.0.1", "localhost")
WILDCARD = "0.0.0.0"  # noqa: S104 - recognised, not bound


def serve(listener: socket.socket, *, wanted_port: int = 0, open_page: bool = False, max_age: float = MAX_AGE) -> None:
    """Serve the demo on `listener` until SIGINT or SIGTERM, which end it within about a second."""
    console = Console()
    _log_to(console)
    address = _address(listener)
    _announce(console, address, wanted_port)
    # uvicorn raises the signal that stopped it again, once everything is closed: then that is no news any more.
    signal.signal(signal.SIGTERM, _leave)
    try:
        asyncio.run(_serve(listener, address, open_page, max_age))
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        console.print("[dim]Every stream is closed. Goodbye.[/]")


async def _serve(listener: socket.socket, address: tuple[str, int], open_page: bool, max_age: float) -> None:
    # timeout_graceful_shutdown: for a reader of the other response that takes nothing, and so never sees its end.
    config = uvicorn.Config(
        demo_app(Visits(address), max_age),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    if open_page:
        asyncio.get_running_loop().call_soon(webbrowser.open, _url(address))
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
    text.append("Left: what the browser sees. Right: what the server knows.\n")
    text.append("Each stream's end is told below. Ctrl-C ends the demo.", "dim")
    if address[0] not in LOOPBACK:
        text.append("\nOpen it on this machine: its hop listens on 127.0.0.1 only.")
    console.print(Panel(text, title="unbroken demo", border_style="red", expand=False, padding=(1, 3)))


class _Lines(logging.Handler):
    """One line on the console for each that is logged."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%X"))
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line, as long as it is: a narrow terminal wraps it better than we would."""
        self._console.print(self.format(record), markup=False, soft_wrap=True)


def _log_to(console: Console) -> None:
    handler = _Lines(console)
    handler.addFilter(_without_asked_traceback)
    for name, level in (("unbroken", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def _without_asked_traceback(line: logging.LogRecord) -> bool:
    """Tell of an error that the page asked for in one line; every other one keeps its traceback."""
    error = line.exc_info[1] if line.exc_info else None
    if isinstance(error, AskedToRaiseError):
        line.msg, line.args, line.exc_info = f"the framework was told, once: {error!r}", (), None
    return True
