"""Serve one of the peers on a free port: `python -m benchmarks.fanout.apps NAME HEARTBEAT`."""

from __future__ import annotations

import signal
import socket
import sys
from importlib import import_module

from benchmarks.server import SERVER_CORE, pin

LIFETIME = 3600
"""Seconds after which a server ends by itself, should its parent have died."""

# The module, and the function in it; a peer's process imports nothing of the others.
APPS = {
    "hub": ("hub", "stock"),
    "hub-protocol": ("hub", "protocol"),
    "sse-starlette": ("starlette", "sse_starlette"),
    "fastapi.sse": ("starlette", "fastapi_sse"),
    "StreamingResponse": ("starlette", "streaming_response"),
    "litestar": ("litestar", "channels"),
    "aiohttp-sse": ("aiohttp", "serve"),
    "better-sse": ("native", "better_sse"),
    "nchan": ("native", "nchan"),
    "uvloop": ("uvloop", "serve"),
    "c-epoll": ("native", "c_epoll"),
}


def main(name: str, heartbeat: float) -> None:
    """Print the port, and serve on it."""
    pin(SERVER_CORE)
    signal.alarm(LIFETIME)
    module, function = APPS[name]
    serve = getattr(import_module(f"benchmarks.fanout.apps.{module}"), function)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(heartbeat, listener)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
