"""A module that Starlette does not have."""
# run: no, because the import fails, which is what is to be found

from fastapi import FastAPI
from starlette.sse import EventSourceResponse  # expect: SSE001

app = FastAPI()


@app.get("/stream")
async def stream():
    async def once():
        yield {"data": "hello"}

    return EventSourceResponse(once())
