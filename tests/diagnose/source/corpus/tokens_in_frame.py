"""Tokens of a model put into frames as they are: the first line break ends the answer's line."""

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()


async def answer(prompt: str):
    async for token in model.stream(prompt):
        yield f"data: {token}\n\n"  # expect: SSE011
    yield "data: [DONE]\n\n"


@app.get("/stream")
async def stream(prompt: str = "hello"):
    return StreamingResponse(  # expect: SSE002, SSE012
        answer(prompt),
        media_type="text/event-stream",
    )
