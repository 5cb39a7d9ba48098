"""A shop that tells other services what it sells: a feed that each reads at its own pace, from its own place."""

import os

from fastapi import FastAPI
from fastapi.requests import Request
from fastapi.responses import HTMLResponse

from unbroken import Hub

hub = Hub(os.environ.get("HUB_URL", "sqlite:///shop.db"))
app = FastAPI(lifespan=hub.lifespan)


@app.post("/sales")
async def sell(product: str, count: int = 1):
    await hub.publish("sales", {"product": product, "count": count}, event="sale")


@app.get("/sales/feed")
async def feed(request: Request):
    # A service that comes for the first time begins at the oldest sale there is. `public`: examples have no passwords.
    return hub.response(request, "sales", public=True, after="earliest")


@app.get("/", response_class=HTMLResponse)
async def page():
    return """
    <button onclick="sell('tea')">Sell tea</button> <button onclick="sell('coffee')">Sell coffee</button>
    <script>
      const sell = product => fetch(`/sales?product=${product}`, { method: "POST" });
    </script>
    """
