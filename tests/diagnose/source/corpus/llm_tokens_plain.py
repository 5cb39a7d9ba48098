"""An answer of a language model, token by token, as most tutorials write it."""

import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()


@app.get("/stream")
async def chat(prompt: str = "hello"):
    async def generate():
        async for token in model.stream(prompt):
            yield f"data: {json.dumps({'token': token})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(generate(), media_type="text/event-stream")  # expect: SSE002, SSE012
