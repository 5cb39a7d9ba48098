"""A middleware that logs bodies: it has a whole stream before anybody else."""

import asyncio

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response
from starlette.routing import Route
from sse_starlette.sse import EventSourceResponse


class LogBodies(BaseHTTPMiddleware):  # expect: SSE014
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        body = b"".join([chunk async for chunk in response.body_iterator])
        return Response(body, response.status_code, dict(response.headers))


async def numbers():
    for number in range(3):
        yield {"data": str(number)}
        await asyncio.sleep(0.01)


async def stream(request):
    return EventSourceResponse(numbers())


app = Starlette(routes=[Route("/stream", stream)], middleware=[Middleware(LogBodies)])
