"""The configurations of the catalogue, in a real nginx before a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from unbroken.diagnose import Code, find_cause

from .serving import DEADLINE, read_until, request, serving

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None and "CI" not in os.environ, reason="nginx is not installed")

AROUND = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    proxy_http_version 1.0;  # what nginx did by default before 1.29.7
    upstream app {{ server 127.0.0.1:{upstream}; }}
    {server}
}}
"""


async def hello(_: Request) -> StreamingResponse:
    """Say one thing, and stay."""

    async def events() -> AsyncIterator[str]:
        yield "data: hello\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(events(), media_type="text/event-stream")


@contextlib.contextmanager
def proxying(code: Code, upstream: int, directory: Path) -> Iterator[int]:
    """Run nginx with a server block of the catalogue, and give its port."""
    assert NGINX is not None, "CI must have nginx"
    port = free_port()
    server = code.text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    config = directory / "nginx.conf"
    config.write_text(AROUND.format(directory=directory, upstream=upstream, server=server))
    process = subprocess.Popen([NGINX, "-p", directory, "-c", config], stderr=subprocess.PIPE, text=True)
    try:
        wait_for_start(process, port)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


def free_port() -> int:
    """Find a port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_for_start(process: subprocess.Popen[str], port: int) -> None:
    """Wait until it accepts connections."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"nginx did not start: {process.communicate()[1]}")


@pytest.mark.parametrize(("which", "arrives"), [("broken", False), ("fixed", True)])
def test_event_through_nginx(which: str, arrives: bool, tmp_path: Path) -> None:
    """By default nginx keeps the first event to itself; configured as on the page it passes it on at once.

    The server is one that answers a request in HTTP/1.0 without chunks. With httptools it would send chunks all the
    same, and these pass.
    """
    code = getattr(find_cause("proxy-buffering"), which)
    app = Starlette(routes=[Route("/stream", hello)])
    with (
        serving(app, http="h11") as server,
        proxying(code, server.port, tmp_path) as port,
        request(port) as client,
    ):
        received = read_until(client, b"data: hello", timeout=DEADLINE if arrives else 1.0)
    assert (b"data: hello" in received) is arrives
