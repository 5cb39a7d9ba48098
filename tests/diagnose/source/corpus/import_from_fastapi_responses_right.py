"""From 0.135 on FastAPI has it, in `fastapi.responses` as well."""

from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.responses import EventSourceResponse

app = FastAPI()


@app.get("/stream", response_class=EventSourceResponse)
async def letters() -> AsyncIterable[str]:
    for letter in "abc":
        yield letter
