"""sse-starlette, a broken pipe and a ClientDisconnect that never come."""

import asyncio
import logging

from fastapi import FastAPI, Request
from sse_starlette.sse import EventSourceResponse
from starlette.requests import ClientDisconnect

app = FastAPI()
log = logging.getLogger("dashboard")


class Dashboard:
    def __init__(self):
        self.rounds = 0

    async def updates(self):
        try:
            while True:
                self.rounds += 1
                yield {"event": "update", "data": str(self.rounds)}
                await asyncio.sleep(0.02)
        except (BrokenPipeError, ClientDisconnect):  # expect: SSE003
            log.info("gone after %s", self.rounds)


dashboard = Dashboard()


@app.get("/stream")
async def stream(request: Request):
    return EventSourceResponse(dashboard.updates())
