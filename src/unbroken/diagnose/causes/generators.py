"""How a generator hurts itself, its stream or the server."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["DISCONNECT_SWALLOWED", "LOOP_STARVED", "SCOPE_ACROSS_YIELD", "THREAD_HELD"]

DISCONNECT_SWALLOWED: Final = Cause(
    id="disconnect-swallowed",
    title="An `except` swallows the disconnect",
    severity=Severity.HIGH,
    skill=Skill.INTERMEDIATE,
    minutes=10,
    meaning=(
        "The stream is told that its client has left, takes that for one more failure, and goes on. It works for "
        "nobody, often at full speed, and holds up the shutdown."
    ),
    why=(
        "A bare `except:`, `except BaseException` or `except asyncio.CancelledError` inside the loop catches the "
        "cancellation, and the loop begins anew. Where the disconnect arrives as an exception (unbroken, "
        "aiohttp), `except Exception` around a `yield` catches it too."
    ),
    detect="A `try` inside the loop whose `except` neither raises nor leaves; streams that outlive their clients.",
    fix=(
        "Catch the failure that you can mend, and only around the work. Put `except StreamClosed: raise` before "
        "an `except Exception` that stands around a `yield`. unbroken discards what such a generator still "
        "yields, and ends it after `cleanup_timeout`."
    ),
    workaround="Raise again: `except asyncio.CancelledError: raise` as the first of the handlers.",
    prevention=(
        "ruff's `E722` (bare except) and `BLE001` (blind except). Keep every `yield` outside of `try … except "
        "Exception`."
    ),
    versions=(
        "All. `CancelledError` is no `Exception` since Python 3.8; before, `except Exception` swallowed it as well."
    ),
    sources=("https://docs.python.org/3/library/asyncio-task.html#task-cancellation",),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

asked = []


async def events():
    for number in range(60):
        try:
            asked.append(number)
            await asyncio.sleep(1)  # as a question to another service
            yield f"data: {number}\\n\\n"
        except (asyncio.CancelledError, OSError):
            continue  # try the next one


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

asked = []


async def events():
    for number in range(60):
        try:
            asked.append(number)
            await asyncio.sleep(1)  # as a question to another service
        except OSError:
            continue  # try the next one
        yield str(number)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

LOOP_STARVED: Final = Cause(
    id="loop-starved",
    title="The stream starves the event loop",
    severity=Severity.CRITICAL,
    skill=Skill.INTERMEDIATE,
    minutes=20,
    meaning=(
        "One stream stops the whole server: other requests, health checks and heartbeats wait while it computes "
        "or blocks. When its client leaves, nobody can tell it so, and it runs for ever at 100 % CPU."
    ),
    why=(
        "An async generator that never awaits gives no other task a turn, since `send()` does not suspend while "
        "there is room, and never after the client has left. A blocking call in it (`time.sleep`, `requests`, a "
        "synchronous database driver, a synchronous model client) stops the loop for as long as it takes."
    ),
    detect=(
        "Other requests hang while one stream is open. After its client left, `socket.send() raised exception.` "
        "comes 100,000 times in a second on uvicorn and hypercorn (asyncio's own loop). `PYTHONASYNCIODEBUG=1` "
        "logs `Executing … took … seconds`."
    ),
    fix=(
        "Await the work: `await asyncio.to_thread(call)`, or an asynchronous client. "
        "`unbroken.EventSourceResponse` gives the other tasks their turn after each batch, also for a generator "
        "that never awaits, and ends it when its client leaves; a call that blocks it cannot interrupt."
    ),
    workaround=(
        "`await asyncio.sleep(0)` after each `yield`. Or a synchronous generator (`def`), which runs in a thread."
    ),
    prevention=(
        "ruff's `ASYNC` rules find many blocking calls. In a test, `unbroken.testing.open_stream` raises "
        "`LoopStarvedError`."
    ),
    versions=(
        "Starlette 0.14 to 1.10 and sse-starlette to 3.7 on uvicorn, hypercorn (asyncio), granian, daphne. "
        "fastapi.sse gives a turn after each item, but does not help against a blocking call."
    ),
    sources=("https://docs.python.org/3/library/asyncio-dev.html#running-blocking-code", "fastapi/fastapi#14681"),
    broken=Code(
        """\
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


def read_sensor():
    return 21.5  # blocks, as `requests.get` does


async def events():
    while True:
        yield f"data: {read_sensor()}\\n\\n"


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


def read_sensor():
    return 21.5  # blocks, as `requests.get` does


async def events():
    while True:
        yield await asyncio.to_thread(read_sensor)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

THREAD_HELD: Final = Cause(
    id="thread-held",
    title="A synchronous generator holds a thread",
    severity=Severity.HIGH,
    skill=Skill.INTERMEDIATE,
    minutes=30,
    meaning=(
        "Each open stream of a plain generator (`def`) occupies a worker thread while it blocks. At the 40th the "
        "synchronous endpoints of the application stand still too. When its client leaves, the generator is not "
        "told, and its `finally` runs late or never."
    ),
    why=(
        "Starlette runs each step in one of anyio's 40 threads, which it shares with all synchronous endpoints. "
        "A thread cannot be interrupted: a `queue.get()` on which nothing comes holds it for ever. The generator "
        "is not closed at the end, but when the garbage collector finds it, in the event loop's thread."
    ),
    detect=(
        "Synchronous endpoints hang while as many streams are open as there are threads. `finally` of a `def` "
        "generator runs only after `gc.collect()`. A shutdown waits for the thread."
    ),
    fix=(
        "Write the generator with `async def`. Where it must stay synchronous, return it by "
        "`unbroken.EventSourceResponse` (100 threads of its own, closed at once, told at its next `yield`) and "
        "give the call that blocks a timeout: `queue.get(timeout=1)`, and `yield "
        'ServerSentEvent(comment="waiting")` when nothing came.'
    ),
    workaround=(
        "Give every blocking call a timeout and yield a comment then. Raise the number of threads: "
        "`anyio.to_thread.current_default_thread_limiter().total_tokens`."
    ),
    prevention="No `def` generator for a stream that waits for something.",
    versions=(
        "Starlette from 0.15 to 1.10, FastAPI with it, sse-starlette to 3.7. Before 0.15 the generator was "
        "closed at once."
    ),
    sources=("https://www.starlette.io/threadpool/", "litestar-org/litestar#4394"),
    broken=Code(
        """\
import queue

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

messages = queue.Queue()


def events():
    while True:
        yield f"data: {messages.get()}\\n\\n"


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import queue

from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent

messages = queue.Queue()


def events():
    while True:
        try:
            yield messages.get(timeout=0.5)
        except queue.Empty:
            yield ServerSentEvent(comment="waiting")  # here it is told that its client has left


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

SCOPE_ACROSS_YIELD: Final = Cause(
    id="scope-across-yield",
    title="A `yield` inside a task group, timeout or cancel scope",
    severity=Severity.HIGH,
    skill=Skill.ADVANCED,
    minutes=45,
    meaning=(
        "The log shows `Attempted to exit cancel scope in a different task than it was entered in`, or "
        "`Attempted to exit a cancel scope that isn't the current tasks's current cancel scope`. Tasks of the "
        "group go on, or a timeout cancels somebody else. Sometimes a process stays at 100 % CPU."
    ),
    why=(
        "A scope belongs to the task that enters it. A generator that yields inside of it leaves the scope open "
        "in whoever drives it: the framework's task. If that abandons the generator, the garbage collector "
        "closes it in another task, and the scope is left where it was not entered. A timeout that passes during "
        "the `yield` cancels the framework's `send()`."
    ),
    detect=(
        "The texts above in the log, often after a client has left. In the source: a `yield` inside `async with "
        "asyncio.TaskGroup()`, `asyncio.timeout()`, `anyio.create_task_group()`, `move_on_after()` or "
        "`fail_after()`."
    ),
    fix=(
        "Keep the scope around the `await` alone, and yield outside. Return the generator by "
        "`unbroken.EventSourceResponse`: it drives every step in one task and closes the generator there. "
        "`while_connected()` is the one scope that may span yields."
    ),
    workaround=(
        "Let a background task fill a bounded queue inside the task group, and let the generator only read it. "
        "Close inner generators with `contextlib.aclosing`."
    ),
    prevention="ruff's `ASYNC119` (preview), flake8-async's `ASYNC101` and `ASYNC119`.",
    versions="All of anyio 3 and 4, and asyncio's own scopes from Python 3.11. PEP 789, a draft, would forbid it.",
    sources=(
        "https://peps.python.org/pep-0789/",
        "https://anyio.readthedocs.io/en/stable/cancellation.html#avoiding-cancel-scope-stack-corruption",
        "vllm-project/vllm#25697",
    ),
    broken=Code(
        """\
import anyio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    with anyio.move_on_after(3600):
        while True:
            yield "data: tick\\n\\n"
            await anyio.sleep(1)


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
    fixed=Code(
        """\
import anyio
from starlette.applications import Starlette
from starlette.routing import Route

from unbroken import EventSourceResponse


async def events():
    end = anyio.current_time() + 3600
    while anyio.current_time() < end:
        yield "tick"
        with anyio.move_on_after(end - anyio.current_time()):
            await anyio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)
