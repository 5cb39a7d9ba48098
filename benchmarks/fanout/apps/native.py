"""The peers that are not Python: this process pins itself, prints its port, and becomes them."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NoReturn

from benchmarks.fanout.tools import FOLDER, floor, module_of_nchan, nginx, node, packages_of_node

__all__ = ["better_sse", "c_epoll", "nchan"]

_HERE = Path(__file__).parent


def better_sse(heartbeat: float, listener: socket.socket) -> NoReturn:
    environment = os.environ | {"NODE_PATH": str(packages_of_node())}
    script = str(_HERE / "better_sse.cjs")
    os.execve(node(), ["node", script, _handed_down(listener), str(heartbeat)], environment)


def nchan(heartbeat: float, listener: socket.socket) -> NoReturn:
    folder = FOLDER / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "MODULE": str(module_of_nchan()),
        "FOLDER": str(folder),
        "PORT": str(listener.getsockname()[1]),
        "HEARTBEAT": str(int(heartbeat)),
    }
    text = (_HERE / "nchan.conf").read_text()
    for name, value in values.items():
        text = text.replace(name, value)
    # In memory and handed down: a file of its own for each port would stay behind.
    configuration = os.memfd_create("nginx.conf", 0)
    os.write(configuration, text.encode())
    arguments = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", f"/proc/self/fd/{configuration}"]
    # As one nginx hands its sockets to the next.
    os.execve(nginx(), arguments, os.environ | {"NGINX": f"{_handed_down(listener)};"})


def c_epoll(_: float, listener: socket.socket) -> NoReturn:
    os.execv(floor(), ["floor", _handed_down(listener)])


def _handed_down(listener: socket.socket) -> str:
    """Give the descriptor of the listener, which the next program keeps: a port given back could be taken."""
    listener.set_inheritable(True)
    return str(listener.fileno())
