"""`time.sleep` in an asynchronous generator: the whole process sleeps."""

import time

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield {"data": str(number)}
        time.sleep(0.01)  # expect: SSE007


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
