"""A generator expression: finite, and never waiting."""

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/stream")
def stream():
    return StreamingResponse(
        (f"data: {number}\n\n" for number in range(3)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
