"""A reset that does come: the upstream of the stream can lose its connection."""

import json

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()


async def relay(prompt: str):
    try:
        async for token in model.stream(prompt):
            yield {"event": "token", "data": json.dumps(token)}
    except ConnectionError as error:
        yield {"event": "failed", "data": type(error).__name__}


@app.get("/stream")
async def stream(prompt: str = "hi"):
    return EventSourceResponse(relay(prompt))
