"""FastAPI's class returned instead of declared: then it is a plain response with a content type."""

import json

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()


async def tokens(prompt: str):
    async for token in model.stream(prompt):
        yield f"data: {json.dumps(token)}\n\n"


@app.get("/stream")
async def stream(prompt: str = "hello"):
    return EventSourceResponse(tokens(prompt))  # expect: SSE002, SSE012
