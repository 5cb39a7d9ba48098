"""Clients that are slow, gone without a word, or cannot come."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["HALF_OPEN_PEER", "SLOW_READER", "UNREACHABLE"]

SLOW_READER: Final = Cause(
    id="slow-reader",
    title="A client reads slowly, or has stopped reading",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "A laptop that sleeps, a tab in the background or a debugger keeps its connection and takes nothing. The "
        "stream, its generator and all that it holds stay for as long as the client likes."
    ),
    why=(
        "The kernel takes up to 3 MB before the server notices. Then `send()` waits, without a limit. On daphne, "
        "and with HTTP/2 on hypercorn and uvicorn's zttp, it does not even wait: the memory of the server grows "
        "by up to 50 MB in a second."
    ),
    detect=(
        "A task that stays in `send()`; sockets with a full send queue (`ss -tn`, column Send-Q); memory that "
        "grows with the slowest client. A shutdown of uvicorn or granian that does not end."
    ),
    fix=(
        "Return `unbroken.EventSourceResponse(…, send_timeout=30)`; 60 s is the default. A client that takes "
        "nothing for so long is given up: its socket is aborted and the generator gets `ClientDisconnected` with "
        "the reason `send_timeout`. One that is merely slow is waited for. `EventStreamGuard(send_timeout=…)` "
        "does the same for other libraries."
    ),
    workaround=(
        "`asyncio.timeout` around each write, in ASGI code of your own. sse-starlette has `send_timeout`, but "
        "leaves the socket open, so that a shutdown of uvicorn and granian hangs on it."
    ),
    prevention="A test that freezes its client: `stream.freeze()` of `unbroken.testing.open_stream`.",
    versions="All servers. Starlette and fastapi.sse have no limit. sse-starlette's is off by default.",
    sources=(
        "sysid/sse-starlette#89",
        "IBM/mcp-context-forge#1682",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

open_streams = set()


async def events():
    open_streams.add("stream")
    try:
        while True:
            yield "data: tick\\n\\n"
            await asyncio.sleep(1)
    finally:
        open_streams.discard("stream")


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse

open_streams = set()


async def events():
    open_streams.add("stream")
    try:
        while True:
            yield "tick"
            await asyncio.sleep(1)
    finally:
        open_streams.discard("stream")


async def stream(request):
    return EventSourceResponse(events(), send_timeout=30)


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

HALF_OPEN_PEER: Final = Cause(
    id="half-open-peer",
    title="The client vanished without a word",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "A phone lost its network, a cable was pulled, a firewall forgot the connection. The server still counts "
        "the client, for minutes or for ever. Limits fill up with the dead."
    ),
    why=(
        "TCP says nothing when nothing is said. A silent stream never finds out. One that writes does when the "
        "kernel has given up retransmitting: after about 15 minutes with Linux's defaults. Keep-alive alone is "
        "suspended while data is unacknowledged; `TCP_USER_TIMEOUT` alone works only then. A heartbeat of 12 "
        "bytes fits into the kernel's buffer, so a write timeout does not see it either."
    ),
    detect=(
        "More open streams than visitors, after a network failure. `ss -tno` shows retransmissions on "
        "connections whose peer is gone. hypercorn logs `TimeoutError: [Errno 110] Connection timed out` for "
        "each."
    ),
    fix=(
        "Return `unbroken.EventSourceResponse(…, dead_peer_timeout=30)`, by default 90, or use "
        "`EventStreamGuard`: both set TCP keep-alive and `TCP_USER_TIMEOUT` on the listening socket, whichever "
        "server opened it. It holds for all connections of that port."
    ),
    workaround=(
        "Set both options on a listening socket of your own and hand it to the server (`uvicorn --fd`); accepted "
        "connections inherit them on Linux. Or lower `net.ipv4.tcp_retries2` and send heartbeats."
    ),
    prevention=(
        "Watch the number of open streams against the number of users. Have a proxy in front with keep-alive on "
        "its clients' connections."
    ),
    versions="All ASGI servers, all frameworks. Linux can be cured in this way; macOS and Windows have other options.",
    sources=(
        "https://man7.org/linux/man-pages/man7/tcp.7.html",
        "https://www.rfc-editor.org/rfc/rfc5482",
        "sysid/sse-starlette#173",
        "aio-libs/aiohttp-sse#469",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    yield "data: hello\\n\\n"
    await asyncio.Event().wait()


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events():
    yield "hello"
    await asyncio.Event().wait()


async def stream(request):
    return EventSourceResponse(events(), dead_peer_timeout=30)


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

UNREACHABLE: Final = Cause(
    id="unreachable",
    title="The endpoint cannot be reached",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "No connection comes about: nothing listens, the name is unknown, the certificate is refused, or a "
        "firewall drops the packets. There is no stream that could break."
    ),
    why=(
        "The server did not start, or listens on another port or only on 127.0.0.1 inside a container. The name "
        "has no address. The certificate is for another name, or has expired."
    ),
    detect=(
        "`curl -v URL` tells these apart: `Could not resolve host`, `Connection refused`, a timeout, or an error "
        "of TLS. `unbroken doctor URL` does too."
    ),
    fix=(
        "Bind the server where its clients are: `--host 0.0.0.0` in a container, and publish the port. Mend the "
        "name or the certificate. unbroken can do nothing here."
    ),
    workaround="None; in the browser, `EventSource` tries again by itself after a network error.",
    prevention="A health check from outside, on the same way as the users come.",
    versions="All.",
    sources=(
        "https://curl.se/docs/manpage.html",
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model",
    ),
)
