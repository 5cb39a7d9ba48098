"""The loop people write, with one import line changed."""

import asyncio

from fastapi import FastAPI

from unbroken.compat.starlette import EventSourceResponse

app = FastAPI()


async def event_generator():
    message = "Hello"
    try:
        while True:
            yield f"data: {message}\n\n"
    except ConnectionResetError:
        print("Client disconnected, stopping event generator")
        await asyncio.sleep(0)  # cleanup may await
        return


@app.get("/events")
async def events():
    return EventSourceResponse(event_generator())


@app.get("/")
async def other_requests():
    return {"are": "served all the while; the stream is at /events"}
