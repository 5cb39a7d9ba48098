"""A relay with `requests`: the upstream holds a thread of ours."""
# run: no, because it asks an upstream that is not there

import requests
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def relay(url: str):
    with requests.get(url, stream=True, timeout=30) as upstream:  # expect: SSE006
        for line in upstream.iter_lines(decode_unicode=True):
            yield f"data: {line}\n\n"


@app.get("/stream")
def stream():
    return StreamingResponse(relay("http://localhost:9/"), media_type="text/event-stream", headers=HEADERS)  # expect: SSE002
