"""A table that is read with the synchronous driver, between two events."""

import asyncio
import sqlite3

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def rows():
    connection = sqlite3.connect(":memory:")  # expect: SSE007
    try:
        for number in range(3):
            found = connection.execute("select ?", (number,)).fetchone()  # expect: SSE007
            yield {"data": str(found[0])}
            await asyncio.sleep(0.01)
    finally:
        connection.close()


@app.get("/stream")
async def stream():
    return EventSourceResponse(rows())
