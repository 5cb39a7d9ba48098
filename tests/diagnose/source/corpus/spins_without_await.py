"""The generator of the page that everybody copies: nothing else runs while it does."""
# run: no, because it never gives the event loop back

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def event_generator():
    while True:  # expect: SSE004
        yield "data: Hello\n\n"


@app.get("/stream")
async def stream():
    return StreamingResponse(event_generator(), media_type="text/event-stream")  # expect: SSE012, SSE017
