"""The same with an `Annotated` alias, through the dependency that finds the user."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from sse_starlette.sse import EventSourceResponse

router = APIRouter(prefix="")


class AsyncSession:
    async def get(self, number: int) -> dict:
        return {"id": number}

    async def close(self) -> None:
        return None


async def get_session():
    session = AsyncSession()
    yield session
    await session.close()


SessionDep = Annotated[AsyncSession, Depends(get_session)]


async def current_user(session: SessionDep):
    return await session.get(1)


CurrentUser = Annotated[dict, Depends(current_user)]


@router.get("/stream")
async def stream(
    user: CurrentUser,  # expect: SSE010
):
    async def events():
        for number in range(3):
            yield {"event": "message", "data": f"{user['id']}:{number}"}
            await asyncio.sleep(0.01)

    return EventSourceResponse(events())


app = FastAPI()
app.include_router(router)
