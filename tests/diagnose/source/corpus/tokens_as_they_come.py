"""A model's tokens yielded by their name: they could be frames, as far as can be seen."""

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()


@app.get("/stream")
async def stream(prompt: str = "hello"):
    async def tokens():
        yield "event: start\ndata: 1\n\n"
        async for token in model.stream(prompt):
            yield token  # missed: SSE018

    return StreamingResponse(tokens(), media_type="text/event-stream")  # expect: SSE002, SSE012
