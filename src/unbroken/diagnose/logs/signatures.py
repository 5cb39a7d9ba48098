"""What speaks of each cause in a log, as data."""

from __future__ import annotations

import re
from typing import Final

from unbroken.diagnose.logs.signature import Needs, Seen, Signature

__all__ = ["LINES", "PROXIES", "RAISED", "SIGNATURES"]


def _line(cause: str, source: str, text: str, pattern: str | None = None, needs: Needs = Needs.NOTHING) -> Signature:
    return Signature(cause, text, source, re.compile(pattern or re.escape(text)), Seen.LINE, needs)


def _raised(cause: str, source: str, text: str, pattern: str, seen: Seen, needs: Needs = Needs.STREAM) -> Signature:
    return Signature(cause, text, source, re.compile(pattern), seen, needs)


TIMERS: Final = r" \d{1,10}/\d{1,10}/\d{1,10}/\d{1,10}/\+?\d{1,10}"
"""HAProxy's."""

SEND_WARNING: Final = _line("write-after-close", "asyncio", "socket.send() raised exception.")
TRANSPORT_ERROR: Final = _line(
    "write-after-close", "granian", 'ASGI transport error: "Closed(..)"', "ASGI transport error: "
)
WITHOUT_COMPLETING: Final = _line("slow-reader", "uvicorn", "ASGI callable returned without completing response.")
CONNECTIONS_OPEN: Final = _line("shutdown-hangs", "uvicorn", "Waiting for connections to close. (CTRL+C to force quit)")
TASKS_OPEN: Final = _line(
    "shutdown-hangs", "uvicorn", "Waiting for background tasks to complete. (CTRL+C to force quit)"
)
WORKER_KILLED: Final = _line(
    "worker-killed",
    "gunicorn",
    "was sent SIGKILL! Perhaps out of memory?",
    r"Worker \(pid:\d{1,10}\) was sent SIGKILL!",
)

LINES: Final = (
    SEND_WARNING,
    TRANSPORT_ERROR,
    WITHOUT_COMPLETING,
    CONNECTIONS_OPEN,
    TASKS_OPEN,
    _line(
        "shutdown-hangs",
        "uvicorn",
        "Cancel 1 running task(s), timeout graceful shutdown exceeded",
        r"Cancel \d+ running task\(s\), timeout graceful shutdown exceeded",
    ),
    _line(
        "shutdown-hangs",
        "granian",
        "Killing worker-1 after it refused to gracefully stop",
        r"Killing (?:old )?worker-\d+ after it refused to gracefully stop",
    ),
    _line("worker-killed", "gunicorn", "WORKER TIMEOUT (pid:31)", r"WORKER TIMEOUT \(pid:\d{1,10}\)"),
    WORKER_KILLED,
    _line("worker-killed", "uvicorn", "Child process [31] died", r"Child process \[\d+\] died"),
    _line("worker-killed", "granian", "Unexpected exit from worker-1", r"Unexpected exit from worker-\d+"),
    _line(
        "worker-killed",
        "Linux",
        "Out of memory: Killed process 31 (uvicorn)",
        r"Killed process \d+ \((?:uvicorn|gunicorn|hypercorn|granian|daphne)\b",
    ),
    _line(
        "disconnect-swallowed",
        "daphne",
        "took too long to shut down and was killed.",
        # Of a WebSocket it says <WebSocketProtocol …>.
        r"for connection <WebRequest [^>]{0,1000}> took too long to shut down and was killed",
        Needs.STREAM,
    ),
    _line(
        "idle-timeout",
        "nginx",
        "upstream timed out (110: Connection timed out) while reading upstream",
        r"upstream timed out \(110: [^)]{0,100}\) while reading upstream",
        Needs.NAME,
    ),
    _line(
        "idle-timeout",
        "nginx",
        "upstream timed out (110: Connection timed out) while reading response header from upstream",
        r"upstream timed out \(110: [^)]{0,100}\) while reading response header",
        Needs.STREAM,
    ),
    _line(
        "producer-failed",
        "nginx",
        "upstream prematurely closed connection while reading upstream",
        None,
        Needs.NAME,
    ),
    _line(
        "producer-failed",
        "nginx",
        "upstream prematurely closed connection while reading response header from upstream",
        None,
        Needs.STREAM,
    ),
    _line(
        "producer-failed",
        "nginx",
        "recv() failed (104: Connection reset by peer) while reading upstream",
        r"recv\(\) failed \(104: [^)]{0,100}\) while reading upstream",
        Needs.NAME,
    ),
    _line(
        "proxy-buffering",
        "nginx",
        "an upstream response is buffered to a temporary file",
        None,
        Needs.STREAM,
    ),
    _line(
        "unreachable",
        "nginx",
        "connect() failed (111: Connection refused) while connecting to upstream",
        r"connect\(\) failed \(\d{1,5}: [^)]{0,100}\) while connecting to upstream|no live upstreams while connecting",
        Needs.STREAM,
    ),
    _line(
        "producer-failed",
        "Caddy",
        "aborting with incomplete response",
        r"aborting with incomplete response(?!.{0,500}context canceled)",
        Needs.STREAM,
    ),
    _line(
        "idle-timeout",
        "HAProxy",
        "sD--",
        rf"{TIMERS} 2\d\d \+?\d{{1,15}} \S{{1,200}} \S{{1,200}} [sc]D[-\w]{{2}} ",
        Needs.STREAM,
    ),
    _line(
        "producer-failed",
        "HAProxy",
        "SD--",
        rf"{TIMERS} 2\d\d \+?\d{{1,15}} \S{{1,200}} \S{{1,200}} SD[-\w]{{2}} ",
        Needs.STREAM,
    ),
    _line("idle-timeout", "Envoy", '200 SI (response flag "stream idle timeout")', r'" 2\d\d SI ', Needs.STREAM),
    _line("age-limit", "Envoy", '200 UT (response flag "upstream request timeout")', r'" 2\d\d UT ', Needs.STREAM),
    _line(
        "producer-failed",
        "Envoy",
        '200 UC (response flag "upstream connection termination")',
        r'" 2\d\d U(?:C|R|PE) ',
        Needs.STREAM,
    ),
    _line("idle-timeout", "Heroku", 'code=H15 desc="Idle connection"', r"\bcode=H15\b", Needs.NAME),
    _line("idle-timeout", "Heroku", 'code=H12 desc="Request timeout"', r"\bcode=H12\b", Needs.STREAM),
    _line("producer-failed", "Heroku", 'code=H18 desc="Server Request Interrupted"', r"\bcode=H18\b", Needs.STREAM),
    _line(
        "age-limit",
        "Google Cloud Run",
        "The request has been terminated because it has reached the maximum request timeout.",
        r"has reached the maximum request timeout",
        Needs.STREAM,
    ),
    _line(
        "loop-starved",
        "asyncio",
        "Executing <Task pending name='Task-4' coro=<StreamingResponse…> took 5.003 seconds",
        r"Executing <.{0,500}\btook [\d.]{1,20} seconds",
        Needs.STREAM,
    ),
    _line(
        "cleanup-not-run",
        "asyncio",
        "Task was destroyed but it is pending!",
        None,
        Needs.STREAM,
    ),
    _line(
        "cleanup-not-run",
        "trio",
        "was garbage collected before it had been exhausted. Surround its use in 'async with aclosing(...):'",
        r"Async generator .{0,500} was garbage collected before it had been exhausted",
    ),
    _line(
        "cleanup-not-run",
        "Python",
        "aclose(): asynchronous generator is already running",
        r"(?:aclose|athrow|anext)\(\): asynchronous generator is already running",
        Needs.STREAM,
    ),
    _line("disconnect-swallowed", "Python", "async generator ignored GeneratorExit", None, Needs.STREAM),
    _line(
        "scope-across-yield",
        "anyio",
        "Attempted to exit cancel scope in a different task than it was entered in",
        None,
        Needs.STREAM,
    ),
    _line(
        "import-does-not-exist",
        "Python",
        "cannot import name 'EventSourceResponse' from 'starlette.responses'",
        r"cannot import name '(?:EventSourceResponse|ServerSentEvent)' from '(?:starlette|fastapi)|"
        r"No module named '(?:fastapi\.sse|starlette\.sse|sse_starlette)'",
    ),
    _line(
        "not-an-event-stream",
        "browsers, httpx-sse",
        'EventSource\'s response has a MIME type ("text/html") that is not "text/event-stream"',
        r"EventSource's response has a MIME type|"
        r"[Ee]xpected response .{0,80}[Cc]ontent.[Tt]ype .{0,80}text/event-stream",
    ),
    _line("workers-without-shared-log", "MCP", "Could not find session for ID:"),
    _line(
        "write-after-close",
        "aiohttp",
        "Cannot write to closing transport",
        None,
        Needs.STREAM,
    ),
    _line(
        "producer-failed",
        "httpx",
        "peer closed connection without sending complete message body (incomplete chunked read)",
        r"peer closed connection without sending complete message body",
        Needs.STREAM,
    ),
)
"""The first that fits counts."""

PROXIES: Final = tuple(one for one in LINES if one.source in ("HAProxy", "Envoy"))
"""Those that are no words."""

_LEFT = (
    r"^(?:[\w.]+\.)?(?:ConnectionResetError|BrokenPipeError|ConnectionAbortedError|ConnectionError|"
    r"ClientConnectionResetError):"
)

RAISED: Final = (
    _raised(
        "import-does-not-exist",
        "Python",
        "ImportError: cannot import name 'EventSourceResponse' from 'starlette.responses'",
        r"^(?:ImportError|ModuleNotFoundError): (?:cannot import name '(?:EventSourceResponse|ServerSentEvent)' from "
        r"'(?:starlette|fastapi)|No module named '(?:fastapi\.sse|starlette\.sse|sse_starlette)')",
        Seen.BY_ANYONE,
        Needs.NOTHING,
    ),
    _raised(
        "connection-header",
        "h2",
        "ProtocolError: Connection-specific header field present",
        r"Connection-specific header field present",
        Seen.BY_ANYONE,
        Needs.NOTHING,
    ),
    _raised(
        "scope-across-yield",
        "anyio",
        "RuntimeError: Attempted to exit cancel scope in a different task than it was entered in",
        r"Attempted to exit (?:a |this )?cancel scope",
        Seen.BY_ANYONE,
    ),
    _raised(
        "cleanup-not-run",
        "Python",
        "RuntimeError: aclose(): asynchronous generator is already running",
        r"asynchronous generator is already running|disallow async work when closing async generators",
        Seen.BY_ANYONE,
    ),
    _raised(
        "disconnect-swallowed",
        "Python",
        "RuntimeError: async generator ignored GeneratorExit",
        r"async generator ignored GeneratorExit",
        Seen.BY_ANYONE,
    ),
    _raised(
        "status-after-start",
        "Starlette",
        "RuntimeError: Caught handled exception, but response already started.",
        r"Caught handled exception, but response already started|^(?:[\w.]+\.)?HTTPException:",
        Seen.BY_ANYONE,
    ),
    _raised(
        "middleware-breaks-stream",
        "Starlette",
        "RuntimeError: No response returned.",
        r"^RuntimeError: No response returned\.|^RuntimeError: Unexpected message received: http\.|"
        r"^RuntimeError: Expected ASGI message 'http\.response\.\w{1,20}', but got|"
        r"^AssertionError: .{0,1000}http\.response\.",
        Seen.BY_SERVER,
    ),
    _raised(
        "compressed-stream",
        "sse-starlette",
        "NotImplementedError: Compression is not supported for SSE streams.",
        r"Compression is not supported for SSE streams",
        Seen.BY_ANYONE,
        Needs.NOTHING,
    ),
    _raised(
        "field-injection",
        "unbroken, fastapi.sse",
        "EncodeError: … is one line without CR, LF and NUL",
        r"(?:EncodeError|ValidationError|ValueError): .{0,500}"
        r"(?:is one line without CR|must not contain (?:newlines|line breaks))",
        Seen.BY_ANYONE,
    ),
    _raised("slow-reader", "sse-starlette", "SendTimeoutError", r"^(?:[\w.]+\.)?SendTimeoutError:", Seen.BY_SERVER),
    _raised(
        "half-open-peer",
        "hypercorn",
        "TimeoutError: [Errno 110] Connection timed out",
        r"^(?:TimeoutError|OSError): \[Errno (?:110|113|101|60)\]",
        Seen.BY_SERVER,
    ),
    _raised(
        "client-closed",
        "Starlette, fastapi.sse",
        "anyio.BrokenResourceError",
        r"^(?:[\w.]+\.)?(?:ClientDisconnect|BrokenResourceError|ClosedResourceError|EndOfStream|ClientDisconnected):",
        Seen.BY_SERVER,
    ),
    _raised(
        "write-after-close",
        "uvloop",
        "RuntimeError: unable to perform operation on <TCPTransport closed=True …>; the handler is closed",
        r"the handler is closed|LocalProtocolError: Can't send data when our state is",
        Seen.BY_SERVER,
    ),
    _raised(
        "write-after-close",
        "Python",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        _LEFT,
        Seen.BY_SERVER,
    ),
    _raised(
        "producer-failed",
        "httpx",
        "RemoteProtocolError: peer closed connection without sending complete message body (incomplete chunked read)",
        r"RemoteProtocolError: (?:peer closed|Server disconnected)|ChunkedEncodingError:|ClientPayloadError:|"
        r"IncompleteRead",
        Seen.BY_CLIENT,
    ),
    _raised("idle-timeout", "httpx", "ReadTimeout", r"ReadTimeout(?:Error)?:|SocketTimeoutError:", Seen.BY_CLIENT),
    _raised(
        "not-an-event-stream",
        "httpx-sse",
        "SSEError: Expected response header Content-Type to contain 'text/event-stream'",
        r"SSEError: Expected response",
        Seen.BY_ANYONE,
        Needs.NOTHING,
    ),
    _raised(
        "unreachable",
        "httpx",
        "ConnectError: All connection attempts failed",
        r"ConnectError:|ClientConnectorError:",
        Seen.BY_CLIENT,
    ),
    _raised(
        "dependency-held",
        "SQLAlchemy",
        "TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out",
        r"QueuePool limit of size \d{1,9} overflow \d{1,9} reached",
        Seen.BY_ANYONE,
    ),
)
"""The first that fits an exception counts."""

SIGNATURES: Final = (*LINES, *RAISED)
