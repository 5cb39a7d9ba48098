"""What servers do to streams when they stop, or are stopped."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["SHUTDOWN_HANGS", "WORKER_KILLED"]

SHUTDOWN_HANGS: Final = Cause(
    id="shutdown-hangs",
    title="The shutdown hangs on open streams",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "Ctrl-C, a reload or a deploy does not end: the server waits for its streams, and they do not end by "
        "themselves. The supervisor kills it at last, and every stream is cut in the middle."
    ),
    why=(
        "On SIGTERM uvicorn and granian wait for all responses, without a limit, and tell the application "
        "nothing. hypercorn waits 3 s, daphne cuts at once. `lifespan.shutdown` runs only after the connections "
        "are gone, so it cannot end them. With `--timeout-graceful-shutdown` uvicorn cancels the tasks and does "
        "not wait for their cleanup."
    ),
    detect=(
        "uvicorn logs `Waiting for connections to close. (CTRL+C to force quit)` and stays. `ASGI callable "
        "returned without completing response` right after a SIGTERM; on hypercorn `Exception in callback "
        "StreamReaderProtocol.connection_made`."
    ),
    fix=(
        "Return `unbroken.EventSourceResponse`, or add `EventStreamGuard`: at SIGTERM each stream gets "
        "`ServerClosing`, may say farewell for `drain_grace` (2.5 s), and ends with a random `retry:` and a "
        "complete body. No setting is needed. Give the server and the supervisor two seconds more than "
        "`drain_grace`."
    ),
    workaround=(
        "`uvicorn --timeout-graceful-shutdown 5`, `granian --workers-kill-timeout 5`: the streams are cut, and "
        "cleanup may not run."
    ),
    prevention="A test that stops a real server while a stream is open, and waits for its end.",
    versions=(
        "uvicorn (0.43 and 0.44 told the application; 0.45 took it back), gunicorn with uvicorn's worker, "
        "granian. sse-starlette ends its streams on uvicorn alone, fastapi.sse nowhere."
    ),
    sources=(
        "Kludex/uvicorn#451",
        "Kludex/uvicorn#2913",
        "sysid/sse-starlette#132",
        "pgjones/hypercorn#308",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


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
    while True:
        yield "tick"
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events(), drain_grace=2.5)


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

WORKER_KILLED: Final = Cause(
    id="worker-killed",
    title="A worker was killed",
    severity=Severity.CRITICAL,
    skill=Skill.ADVANCED,
    minutes=60,
    meaning=(
        "All streams of a worker end in the same moment, without a farewell. No cleanup runs. Their clients come "
        "back together."
    ),
    why=(
        "gunicorn kills a worker that gives no sign for `--timeout` seconds (30): its event loop was blocked, "
        "not idle. The kernel kills a process that has no memory left. A supervisor kills what does not end in "
        "time."
    ),
    detect=(
        "gunicorn logs `WORKER TIMEOUT (pid:…)` and `Worker (pid:…) was sent SIGKILL! Perhaps out of memory?`; "
        "the kernel logs `Out of memory: Killed process`; Kubernetes shows `OOMKilled` or exit code 137. nginx "
        "logs `upstream prematurely closed connection` for many clients in one second."
    ),
    fix=(
        "Mend what killed it: see loop-starved for a timeout, unbounded-queue and slow-reader for memory, "
        "shutdown-hangs for a supervisor. Of unbroken, `send_timeout`, `dead_peer_timeout` and `Limits(total=…)` "
        "bound what streams may hold, and `drain_grace` is to be less than the time the supervisor gives."
    ),
    workaround="A longer `--timeout`, more memory, a longer `terminationGracePeriodSeconds`: they win time.",
    prevention=(
        "Alarms for memory and for the event loop's lag. Send ids with events, so that clients resume after a cut."
    ),
    versions="gunicorn with any worker; every process under Linux, Docker, systemd or Kubernetes.",
    sources=(
        "https://docs.gunicorn.org/en/stable/settings.html#timeout",
        "dramaclaw/dramaclaw#578",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",
    ),
)
