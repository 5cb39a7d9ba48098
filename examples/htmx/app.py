"""A chat with htmx: the server publishes HTML, the page has no script but htmx's own."""

from html import escape
from typing import Annotated

from fastapi import FastAPI, Form
from fastapi.requests import Request
from fastapi.responses import HTMLResponse, Response

from unbroken import Hub

hub = Hub("memory://")
app = FastAPI(lifespan=hub.lifespan)
messages: list[str] = []


@app.post("/messages")
async def post(text: Annotated[str, Form(max_length=500)]):
    message = f"<li>{escape(text)}</li>"
    messages.append(message)
    await hub.publish("chat", message)
    return Response(status_code=204)


@app.get("/events")
async def events(request: Request):
    return hub.response(request, "chat", public=True, retry=1000)


@app.get("/chat", response_class=HTMLResponse)
async def chat():
    cursor = await hub.position("chat")  # before the messages are read: see docs/howto/use-with-htmx.md
    return f"""
    <section id="chat" hx-ext="sse" sse-connect="/events?last_event_id={cursor}"
             hx-get="/chat" hx-trigger="sse:stream-gap" hx-swap="outerHTML">
      <ul id="messages" sse-swap="message" hx-swap="beforeend">{"".join(messages)}</ul>
    </section>
    """


@app.get("/", response_class=HTMLResponse)
async def page():
    return f"""<!doctype html>
    <script src="https://unpkg.com/htmx.org@2.0.8/dist/htmx.min.js"></script>
    <script src="https://unpkg.com/htmx-ext-sse@2.2.4/dist/sse.min.js"></script>
    {await chat()}
    <form hx-post="/messages" hx-swap="none" hx-on::after-request="this.reset()">
      <input name="text" maxlength="500" required autofocus> <button>Send</button>
    </form>
    """
