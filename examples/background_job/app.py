"""A job that goes on whoever watches it: its progress is a topic, which a page follows, also after a refresh."""

import asyncio
import secrets
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.requests import Request
from fastapi.responses import HTMLResponse

from unbroken import Hub

hub = Hub("memory://")  # "sqlite:///jobs.db" where it shall survive a restart, or has several workers
jobs: dict[str, asyncio.Task] = {}


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with hub, asyncio.TaskGroup() as app.state.tasks:
        yield
        for task in jobs.values():
            task.cancel()


app = FastAPI(lifespan=lifespan)


async def work(topic: str, seconds: float):
    try:
        for percent in range(0, 100, 10):
            await hub.publish(topic, {"percent": percent}, event="progress")
            await asyncio.sleep(seconds / 10)
    except Exception:
        await hub.publish(topic, "the job has failed", event="failed", close=True)
        raise
    await hub.publish(topic, {"percent": 100}, event="done", close=True)


@app.post("/jobs")
async def start(seconds: float = 5):
    job = secrets.token_hex(8)
    jobs[job] = app.state.tasks.create_task(work(f"job:{job}", seconds))
    return {"job": job}


@app.get("/jobs/{job}/events")
async def events(request: Request, job: str):
    if job not in jobs:  # a topic is made by reading it: not for any name that somebody thinks of
        raise HTTPException(404)
    return hub.response(request, f"job:{job}", public=True, after="earliest")


@app.get("/", response_class=HTMLResponse)
async def page():
    return """
    <button id="start">Start a job</button>
    <progress id="bar" max="100" value="0"></progress> <output id="state"></output>
    <script>
      function follow(job) {
        const source = new EventSource(`/jobs/${job}/events`);
        source.addEventListener("progress", e => bar.value = JSON.parse(e.data).percent);
        source.addEventListener("done", () => { bar.value = 100; state.value = "done"; source.close(); });
        source.addEventListener("failed", e => { state.value = e.data; source.close(); });
      }
      start.onclick = async () => {
        const { job } = await (await fetch("/jobs", { method: "POST" })).json();
        location.hash = job;
        follow(job);
      };
      if (location.hash) follow(location.hash.slice(1));  // the page was refreshed
    </script>
    """
