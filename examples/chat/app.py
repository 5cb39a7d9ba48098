"""A chat whose answers outlive its page: refresh it, open a second tab, stop an answer, kill the server."""

import hashlib
import os
import secrets
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import model
from fastapi import Depends, FastAPI, HTTPException
from fastapi.requests import Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from unbroken import Hub
from unbroken.errors import RunConflict
from unbroken.runs import Run, Runs

PAGE = Path(__file__).parent / "page"

hub = Hub(os.environ.get("HUB", "sqlite:///chat.db"))
runs = Runs(hub, lease=2.0, ttl=24 * 3600.0, compact=True)  # a short lease, so that a kill is soon noticed
app = FastAPI(lifespan=runs.lifespan)


def visitor(request: Request) -> str:
    """Who asks: whoever has this cookie. Here stands your login."""
    if not (secret := request.cookies.get("visitor")):
        raise HTTPException(401)
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


Visitor = Annotated[str, Depends(visitor)]


class Question(BaseModel):
    # Made by the page: a click too many asks nothing twice.
    id: str = Field(min_length=16, max_length=64, pattern=r"^[\w-]+$")
    text: str = Field(min_length=1, max_length=500)


@runs.producer("answer")  # the name by which another process begins it again
async def answer(run: Run, question: str):
    text, kept = "", 0
    async with aclosing(model.complete(question)) as tokens:
        async for token in tokens:
            text += token
            await run.send(token, event="token")
            if len(text) > kept + 400:  # who comes later begins here, and not with the first token
                await run.snapshot(text)
                kept = len(text)
    await run.snapshot(text)


@app.post("/questions", status_code=202)
async def ask(question: Question, visitor: Visitor):
    try:
        run = await runs.start(
            answer,
            question.text,
            id=question.id,
            owner=visitor,
            group="chat",
            on_conflict="interrupt",  # a new question stops the answer before it
            on_orphan="restart",
            timeout=300,
            coalesce=0.02,
        )
    except RunConflict:  # somebody else's question has this id
        raise HTTPException(409) from None
    asked = {"run": run.id, "text": question.text}
    await hub.publish(f"chat:{visitor}", asked, event="question", key=question.id)


@app.get("/questions")
async def questions(request: Request, visitor: Visitor):
    return hub.response(request, f"chat:{visitor}", public=True, after="earliest", retry=1000)


app.include_router(runs.router(owner=visitor, retry=1000))  # GET /runs/{id}, POST /runs/{id}/cancel


@app.get("/working")
async def working():
    return model.working


@app.get("/")
async def page(request: Request):
    answer = FileResponse(PAGE / "index.html")
    if "visitor" not in request.cookies:
        answer.set_cookie("visitor", secrets.token_urlsafe(), httponly=True, samesite="lax")
    return answer


app.mount("/", StaticFiles(directory=PAGE))
