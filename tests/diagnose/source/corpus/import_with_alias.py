"""The same wrong import under a name of its own, with another that does exist."""
# run: no, because the import fails, which is what is to be found

import asyncio

from starlette.applications import Starlette
from starlette.responses import EventSourceResponse as SSE, JSONResponse  # expect: SSE001
from starlette.routing import Route


async def health(request):
    return JSONResponse({"ok": True})


async def stream(request):
    async def numbers():
        for number in range(3):
            yield {"data": str(number)}
            await asyncio.sleep(0.01)

    return SSE(numbers())


app = Starlette(routes=[Route("/health", health), Route("/stream", stream)])
