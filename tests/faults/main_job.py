"""An application written the way people write it, with one import line changed."""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from unbroken import while_connected
from unbroken.compat.starlette import EventSourceResponse

from .census import census

gc.disable()  # what is freed is freed by its last reference
app = FastAPI()


@app.get("/busy")
async def busy() -> EventSourceResponse:
    """Stream without awaiting anything, and without a thought of disconnects."""

    async def event_generator() -> AsyncIterator[str]:
        while True:
            message = "Hello"
            yield f"data: {message}\n\n"

    return EventSourceResponse(event_generator())


@app.get("/catching")
async def catching() -> EventSourceResponse:
    """Stream as the advice says: catch ConnectionResetError around the yield."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            while True:
                message = "Hello"
                yield f"data: {message}\n\n"
        except ConnectionResetError:
            print("Client disconnected, stopping event generator")
            return

    return EventSourceResponse(event_generator())


@app.get("/sleep")
async def sleep() -> EventSourceResponse:
    """Wait for the time."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                while True:
                    yield "data: Hello\n\n"
                    await asyncio.sleep(30)
        except ConnectionResetError:
            print("Client disconnected, stopping sleep")

    return EventSourceResponse(event_generator())


@app.get("/queue")
async def queue() -> EventSourceResponse:
    """Wait for messages."""
    messages: asyncio.Queue[str] = asyncio.Queue()
    messages.put_nowait("Hello")

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                while True:
                    yield f"data: {await messages.get()}\n\n"
        except ConnectionResetError:
            print("Client disconnected, stopping queue")

    return EventSourceResponse(event_generator())


@app.get("/relay")
async def relay(upstream: str) -> EventSourceResponse:
    """Pass another server's stream on."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected(), httpx2.AsyncClient() as client, client.stream("GET", upstream) as response:
                async for line in response.aiter_lines():
                    yield f"{line}\n"
        except ConnectionResetError:
            print("Client disconnected, stopping relay")

    return EventSourceResponse(event_generator())


@app.get("/timeout")
async def timeout() -> EventSourceResponse:
    """Wait under a timeout."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                yield "data: Hello\n\n"
                async with asyncio.timeout(60):
                    await asyncio.Event().wait()
        except ConnectionResetError:
            print("Client disconnected, stopping timeout")

    return EventSourceResponse(event_generator())


@app.get("/task-group")
async def task_group() -> EventSourceResponse:
    """Wait in the body of a task group, whose tasks must not outlive it."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected(), asyncio.TaskGroup() as group:
                group.create_task(child())
                yield "data: Hello\n\n"
                await asyncio.sleep(30)
        except ConnectionResetError:
            print("Client disconnected, stopping task-group")

    return EventSourceResponse(event_generator())


@app.get("/task-group-exit")
async def task_group_exit() -> EventSourceResponse:
    """Wait at the end of a task group, for its tasks."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                yield "data: Hello\n\n"
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
        except ConnectionResetError:
            print("Client disconnected, stopping task-group-exit")

    return EventSourceResponse(event_generator())


@app.get("/anyio-task-group")
async def anyio_task_group() -> EventSourceResponse:
    """Wait in the body of an anyio task group."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            async with while_connected(), anyio.create_task_group() as group:
                group.start_soon(child)
                yield "data: Hello\n\n"
                await anyio.sleep(30)
        except ConnectionResetError:
            print("Client disconnected, stopping anyio-task-group")

    return EventSourceResponse(event_generator())


@app.get("/unscoped")
async def unscoped() -> EventSourceResponse:
    """Wait without the scope: cancelled once, so that `finally` may await."""

    async def event_generator() -> AsyncIterator[str]:
        try:
            yield "data: Hello\n\n"
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            print("Client disconnected, stopping unscoped")

    return EventSourceResponse(event_generator())


async def child() -> None:
    """Be at work beside a generator."""
    await asyncio.sleep(30)


@app.get("/health", response_class=PlainTextResponse)
async def health() -> str:
    """Answer at once."""
    return "well"


@app.post("/collect")
async def collect() -> int:
    """Run the collector."""
    return gc.collect()


@app.get("/census")
async def taken() -> dict[str, Any]:
    """Say what the process holds."""
    generators = sum(isinstance(thing, types.AsyncGeneratorType) for thing in gc.get_objects())
    return {**census(), "generators": generators}
