"""The synchronous client of a model in an asynchronous generator, iterated with a plain `for`."""
# run: no, because openai is not installed

import json

from fastapi import FastAPI
from openai import OpenAI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
client = OpenAI()


async def answer(prompt: str):
    completion = client.chat.completions.create(  # expect: SSE007
        model="gpt", messages=[{"role": "user", "content": prompt}], stream=True
    )
    for chunk in completion:  # expect: SSE007
        yield {"event": "token", "data": json.dumps(chunk.choices[0].delta.content)}


@app.get("/stream")
async def stream(prompt: str = "hello"):
    return EventSourceResponse(answer(prompt))
