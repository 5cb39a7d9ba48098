"""A session from a `yield` dependency, open for as long as the feed is."""

import asyncio

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
engine = create_engine("sqlite://")
SessionLocal = sessionmaker(engine)


def get_db():
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


def newest(db: Session) -> int:
    return db.scalar(text("select 1"))


@app.get("/stream")
async def stream(db: Session = Depends(get_db)):  # expect: SSE010
    async def rows():
        while True:
            yield {"data": str(await asyncio.to_thread(newest, db))}
            await asyncio.sleep(0.02)

    return EventSourceResponse(rows())
