"""The events of another response are passed on, with its headers and so its content type."""

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def upstream():
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(
        events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def counted(body):
    async for chunk in body:
        yield chunk
    yield "data: [DONE]\n\n"


@app.get("/stream")
async def stream():
    response = await upstream()
    return StreamingResponse(counted(response.body_iterator), headers=dict(response.headers), status_code=200)  # expect: SSE002
