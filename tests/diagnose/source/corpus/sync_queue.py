"""A synchronous generator that waits for a queue between threads."""

import json
import queue
import threading

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def work(out: queue.Queue):
    for step in range(3):
        out.put({"step": step})
    out.put(None)


def progress():
    out: queue.Queue = queue.Queue(maxsize=10)
    threading.Thread(target=work, args=(out,), daemon=True).start()
    while True:
        item = out.get()  # expect: SSE006
        if item is None:
            break
        yield f"data: {json.dumps(item)}\n\n"


@app.get("/stream")
def stream():
    return StreamingResponse(progress(), media_type="text/event-stream", headers=HEADERS)  # expect: SSE002
