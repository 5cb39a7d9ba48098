"""With unbroken every event gives the event loop a turn."""
# run: no, because it sends as fast as it can, without an end

from fastapi import FastAPI
from unbroken import EventSourceResponse

app = FastAPI()


async def flood():
    number = 0
    while True:
        number += 1
        yield str(number)


@app.get("/stream")
async def stream():
    return EventSourceResponse(flood())
