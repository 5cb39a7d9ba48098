"""What the hops between server and client do to a stream."""

from __future__ import annotations

from typing import Final

from unbroken.diagnose.causes.cause import Cause, Code, Severity, Skill

__all__ = ["AGE_LIMIT", "COMPRESSED_STREAM", "IDLE_TIMEOUT", "PROXY_BUFFERING"]

IDLE_TIMEOUT: Final = Cause(
    id="idle-timeout",
    title="A hop drops the stream because it is silent",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=5,
    meaning=(
        "While the application thinks or has nothing to say, a proxy or load balancer on the way closes the "
        "connection. The user sees an answer that never comes, or a stream that reconnects every minute and "
        "loses what happened between."
    ),
    why=(
        "Most hops have an idle timeout: 60 s on nginx and AWS ALB, 55 s on Heroku, 50 s on Debian's HAProxy, "
        "100 to 120 s on Cloudflare. They count the seconds without a byte from the server. A stream that sends "
        "only real events sends nothing while a model computes its first token."
    ),
    detect=(
        "Many streams end after the same number of silent seconds. nginx logs `upstream timed out (110: "
        "Connection timed out) while reading upstream`. The client sees a 504 before the first byte, an "
        "incomplete body after it. unbroken logs the seconds and the hop it probably is."
    ),
    fix=(
        "Return `unbroken.EventSourceResponse(…, heartbeat=15)`, which is the default: a comment is sent after "
        "15 s of silence, also before the first event. `EventStreamGuard` does it for the streams of other "
        "libraries. Choose less than half of the hop's timeout."
    ),
    workaround=(
        'Yield a comment yourself, `": keep-alive\\n\\n"`, whenever nothing came for 15 s. Or raise the hop\'s '
        "timeout: `proxy_read_timeout 1h` in nginx, `idle_timeout.timeout_seconds` on ALB."
    ),
    prevention=(
        "A test with `unbroken.testing.run_with_virtual_clock`: no minute of a silent stream passes without a byte."
    ),
    versions=(
        "All hops. A plain `StreamingResponse` sends no heartbeat. sse-starlette does (`ping=15`), fastapi.sse "
        "from 0.135 too, from the moment its dependencies are resolved."
    ),
    sources=(
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html",
        "https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes",
        "BerriAI/litellm#31865",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    await asyncio.sleep(90)  # a model thinks
    yield "data: the answer\\n\\n"


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
    await asyncio.sleep(90)  # a model thinks
    yield "the answer"


async def stream(request):
    return EventSourceResponse(events(), heartbeat=15)


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

AGE_LIMIT: Final = Cause(
    id="age-limit",
    title="A hop ends every stream at a fixed age",
    severity=Severity.MEDIUM,
    skill=Skill.INTERMEDIATE,
    minutes=15,
    meaning=(
        "Every stream ends after the same time, however much it sends. The body is cut in the middle. A "
        "heartbeat does not help."
    ),
    why=(
        "Some hops limit the time of a whole response: Cloud Run 300 s (an hour at most), Google's load balancer "
        "30 s, Envoy's route timeout 15 s, API Gateway 29 s, or 900 s for streams. They count from the request, "
        "not from the last byte."
    ),
    detect=(
        "The durations of many streams are alike, while their last silences are not. unbroken's hop detector "
        "says so in the log, as `age`."
    ),
    fix=(
        "Raise the hop's limit where it can be raised. Else give `EventSourceResponse(…, max_age=240)`, four "
        "fifths of it: the stream then ends in good order, with `ServerClosing` in the generator and a complete "
        "body, and the client comes back. `max_age_jitter` spreads the returns. `EventStreamGuard(max_age=…)` "
        "does it for other libraries' streams."
    ),
    workaround=(
        "Count the time in the generator and return before the hop cuts. Send `id:` with each event, so that the "
        "client resumes."
    ),
    prevention=(
        "Know the limits of each hop before going live; the page on hop timeouts lists them. Watch the ends of "
        "streams by reason and duration."
    ),
    versions=(
        "Cloud Run, Google Cloud Load Balancing, Envoy and Istio, API Gateway, serverless platforms. Not nginx, "
        "ALB or Cloudflare: these count silence."
    ),
    sources=(
        "https://cloud.google.com/run/docs/configuring/request-timeout",
        "https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts",
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html",
    ),
    broken=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    while True:  # a hop cuts it after 300 s
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
    return EventSourceResponse(events(), max_age=240)


app = Starlette(routes=[Route("/stream", stream)])
"""
    ),
)

PROXY_BUFFERING: Final = Cause(
    id="proxy-buffering",
    title="A proxy buffers the stream",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "Nothing arrives for a long time, and then everything at once. It works on the developer's machine and "
        "not behind the proxy."
    ),
    why=(
        "nginx asks the server in HTTP/1.0 unless told otherwise (before 1.29.7), so the server sends a body "
        "without chunks, and nginx keeps that until a buffer is full (4 or 8 KiB) or the response ends. Other "
        "proxies, CDNs and antivirus programs do alike. `X-Accel-Buffering: no` turns it off in nginx, but a "
        "second nginx in front never sees that header: the first one takes it away."
    ),
    detect=(
        "`curl -N` at the server shows events one by one, and through the proxy in bursts. Heartbeats do not "
        "arrive either. The arrival times of events lie on a grid of 4, 8 or 16 KiB."
    ),
    fix=(
        "Serve the stream by `unbroken.EventSourceResponse` or behind `EventStreamGuard`: both send "
        "`X-Accel-Buffering: no` and `Cache-Control: no-transform`. Set `proxy_buffering off` in every nginx, as "
        "below."
    ),
    workaround=(
        "Send the header `X-Accel-Buffering: no` yourself. In an nginx that you may change only a little, "
        "`proxy_http_version 1.1` lets chunked bodies pass (measured with 1.22). Where a hop cannot be set, only "
        "a way around it helps."
    ),
    prevention="Test through the real proxy: the first event must arrive before the second one is sent.",
    versions=(
        "Measured with nginx 1.22 and its defaults: nothing passes from uvicorn with h11, hypercorn, granian and "
        "daphne before the end. From uvicorn with httptools, which sends chunks even so, each event passes at "
        "once. With `gzip on` for `text/event-stream` nothing passes from any. Caddy flushes `text/event-stream` "
        "at once."
    ),
    sources=(
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering",
        "fanout/django-eventstream#37",
        "xorbitsai/xagent#1358",
    ),
    broken=Code(
        """\
server {
    listen 80;

    location /stream {
        proxy_pass http://app;
    }
}
""",
        language="nginx",
    ),
    fixed=Code(
        """\
server {
    listen 80;

    location /stream {
        proxy_pass http://app;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_buffering off;
        proxy_read_timeout 1h;
    }
}
""",
        language="nginx",
    ),
)

COMPRESSED_STREAM: Final = Cause(
    id="compressed-stream",
    title="A compressor swallows the stream",
    severity=Severity.HIGH,
    skill=Skill.BEGINNER,
    minutes=10,
    meaning=(
        "The status and the headers arrive, and then nothing: the compressor waits for more to compress. With "
        "some compressors events come in bursts."
    ),
    why=(
        "gzip collects its input until a block is worth writing. A compressor that does not flush after each "
        "message holds small events for minutes. Of a stream under an old `GZipMiddleware` only the header of "
        "the gzip format ever arrives."
    ),
    detect=(
        "The response has `Content-Encoding: gzip`, `br` or `zstd`. `curl -N` shows events, `curl -N "
        "--compressed` does not."
    ),
    fix=(
        "Put `unbroken.EventStreamGuard` outside of the compressing middleware: it takes `Accept-Encoding` from "
        "requests for event streams. Or upgrade Starlette, and use its `GZipMiddleware`, which leaves event "
        "streams alone. `EventSourceResponse` adds `no-transform`, which proxies that compress obey."
    ),
    workaround=(
        "Put the streaming routes outside of the middleware, or take `text/event-stream` from its list of types. "
        "nginx with `gzip_types text/event-stream` holds everything back until the end (measured with 1.22), and "
        "lets each event pass with `proxy_buffering off`."
    ),
    prevention="A test that asks with `Accept-Encoding: gzip` and expects the first event.",
    versions=(
        "Starlette's `GZipMiddleware` (measured with 0.26, 0.36 and 0.38; it leaves event streams alone from "
        "0.46 on), FastAPI with it, and middlewares of your own."
    ),
    sources=(
        "https://www.starlette.io/middleware/#gzipmiddleware",
        "sysid/sse-starlette#84",
    ),
    broken=Code(
        """\
import asyncio
import zlib

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


class Compress:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        compressor = zlib.compressobj(wbits=31)

        async def compressed(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"content-encoding", b"gzip"))
            else:
                message["body"] = compressor.compress(message["body"])
            await send(message)

        await self.app(scope, receive, compressed)


async def events():
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Compress(Starlette(routes=[Route("/stream", stream)]))
"""
    ),
    fixed=Code(
        """\
import asyncio

from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from unbroken import EventSourceResponse, EventStreamGuard


async def events():
    while True:
        yield "tick"
        await asyncio.sleep(1)


async def stream(request):
    return EventSourceResponse(events())


app = Starlette(routes=[Route("/stream", stream)])
app.add_middleware(GZipMiddleware)
app.add_middleware(EventStreamGuard)  # added last: outermost
"""
    ),
)
