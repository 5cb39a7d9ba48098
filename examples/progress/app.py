"""A job's progress: named events, and a resource that is released whoever leaves."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from unbroken import EventSourceResponse, ServerSentEvent, while_connected

app = FastAPI()
app.state.machines = 0


@asynccontextmanager
async def machine():
    app.state.machines += 1
    try:
        yield
    finally:
        await asyncio.sleep(0.01)  # switching it off takes a moment
        app.state.machines -= 1


async def progress(seconds: float):
    async with machine():
        try:
            async with while_connected():
                for percent in range(0, 100, 10):
                    yield ServerSentEvent({"percent": percent}, event="progress")
                    await asyncio.sleep(seconds / 10)
            yield ServerSentEvent({"percent": 100}, event="done")
        except ConnectionResetError as closed:
            print("the job is stopped:", closed)


@app.get("/progress")
async def get_progress(seconds: float = 5):
    return EventSourceResponse(progress(seconds), on_close=lambda record: print("the stream ended:", record.reason))


@app.get("/", response_class=HTMLResponse)
async def page():
    return """
    <progress id="bar" max="100" value="0"></progress>
    <script>
      const source = new EventSource("/progress");
      source.addEventListener("progress", e => bar.value = JSON.parse(e.data).percent);
      source.addEventListener("done", () => { bar.value = 100; source.close(); });
    </script>
    """
