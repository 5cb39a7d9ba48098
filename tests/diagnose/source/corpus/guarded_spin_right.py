"""Behind the guard every event gives the event loop a turn."""
# run: no, because it sends as fast as it can, without an end

from fastapi import FastAPI
from starlette.responses import StreamingResponse
from unbroken import EventStreamGuard

app = FastAPI()
app.add_middleware(EventStreamGuard)


async def flood():
    number = 0
    while True:
        number += 1
        yield f"data: {number}\n\n"


@app.get("/stream")
async def stream():
    return StreamingResponse(flood(), media_type="text/event-stream")
