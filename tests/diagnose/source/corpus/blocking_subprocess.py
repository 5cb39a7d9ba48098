"""A command that is waited for in the event loop, in a method."""

import asyncio
import subprocess
import sys

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Load:
    def read(self) -> str:
        done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True)  # expect: SSE007
        return done.stdout.strip()

    async def watch(self):
        while True:
            yield {"event": "load", "data": self.read()}
            await asyncio.sleep(0.05)


load = Load()


@app.get("/stream")
async def stream():
    return EventSourceResponse(load.watch())
