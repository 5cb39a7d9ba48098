"""The asynchronous client of a model, awaited and iterated as it wants to be."""
# run: no, because openai is not installed

import json

from fastapi import FastAPI
from openai import AsyncOpenAI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
client = AsyncOpenAI()


async def answer(prompt: str):
    completion = await client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": prompt}], stream=True
    )
    async for chunk in completion:
        yield {"event": "token", "data": json.dumps(chunk.choices[0].delta.content)}


@app.get("/stream")
async def stream(prompt: str = "hello"):
    return EventSourceResponse(answer(prompt))
