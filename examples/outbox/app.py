"""Events in the transaction that changes the row: a page that is told of each order exactly if the order is stored."""

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.requests import Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from unbroken import Hub

URL = os.environ.get("DATABASE_URL", "postgresql://localhost/shop")
hub = Hub(URL)  # its tables go into a schema of their own, `unbroken`
engine = create_async_engine(URL.replace("postgresql://", "postgresql+asyncpg://"), pool_pre_ping=True)
sessions = async_sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    left: Mapped[int]


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with hub:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{number}")
async def place(number: int, items: int = 3):
    async with sessions.begin() as session:
        session.add(Order(id=number, left=items))
        await session.flush()  # what can fail, fails before the event is published
        await hub.publish(f"orders:{number}", {"left": items}, within=session)


@app.post("/orders/{number}/ship")
async def ship(number: int):
    async with sessions.begin() as session:
        order = await session.get(Order, number, with_for_update=True)
        if order is None:
            raise HTTPException(404)
        order.left -= 1
        # Last of all, for whoever else publishes to the topic waits from here to the commit.
        await hub.publish(f"orders:{number}", {"left": order.left}, within=session)
        if order.left < 0:
            raise HTTPException(409, "all was shipped")  # takes back the row and the event


async def left_of(number: int):
    async with sessions() as session:
        left = await session.scalar(select(Order.left).where(Order.id == number))
    if left is None:  # a topic is made by reading it: not for any number that somebody thinks of
        raise HTTPException(404)
    return left


@app.get("/orders/{number}/events")
async def events(request: Request, number: int):
    await left_of(number)
    return hub.response(request, f"orders:{number}", public=True)


@app.get("/orders/{number}", response_class=HTMLResponse)
async def page(number: int):
    await left_of(number)
    # The cursor first, then what is shown: what happens in between comes twice, and not never.
    cursor = await hub.position(f"orders:{number}")
    left = await left_of(number)
    return f"""
    <p>Order {number}: <output id="left">{left}</output> to be shipped</p>
    <button onclick="fetch('/orders/{number}/ship', {{ method: 'POST' }})">Ship one</button>
    <script>
      const source = new EventSource("/orders/{number}/events?last_event_id={cursor}");
      source.onmessage = e => document.getElementById("left").value = JSON.parse(e.data).left;
      source.addEventListener("stream-gap", () => location.reload());
    </script>
    """


@app.get("/", response_class=HTMLResponse)
async def index():
    return """
    <button onclick="place()">Place an order</button>
    <script>
      async function place() {
        const id = Math.floor(Math.random() * 1e6);
        await fetch(`/orders/${id}`, { method: "POST" });
        location.href = `/orders/${id}`;
      }
    </script>
    """
