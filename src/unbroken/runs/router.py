"""Ready-made routes for runs, with FastAPI; made by `Runs.router`."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from unbroken.errors import LogUnavailable, MissingExtraError, RunNotFound
from unbroken.runs.names import Owner, is_id
from unbroken.runs.record import RunInfo
from unbroken.runs.response import Origin, RunResponse

try:
    from fastapi import APIRouter, Depends, Header, HTTPException, Query
except ImportError as exc:
    raise MissingExtraError("fastapi", "fastapi") from exc

if TYPE_CHECKING:
    from unbroken.runs.runs import Runs

__all__ = ["OwnerOf", "make_router"]

OwnerOf = Callable[..., Any]

Answers = dict[int | str, dict[str, Any]]

_DETAIL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}


def _refusal(status: int, description: str) -> Answers:
    return {status: {"description": description, "content": {"application/json": {"schema": _DETAIL}}}}


NOT_FOUND = _refusal(404, "There is no such run, or it is another owner's.")
NO_GROUP = _refusal(400, "Neither an owner nor a group.")
UNAVAILABLE = _refusal(503, "The log of the runs is out of reach.")
STREAM: Answers = {
    200: {
        "description": "The events: `run-start`, those of the producer, and last and once `run-end`, whose data is "
        '`{"status", "attempt"}`, with a `result` or a `reason` where there is one.',
        "headers": {"stream-run": {"description": "The run's id.", "schema": {"type": "string"}}},
    },
    204: {"description": "The client has seen the end: it shall not ask again."},
    400: {"description": "The cursor in the query is none."},
    **NOT_FOUND,
    **UNAVAILABLE,
}

IN_GROUP = Query(None, description="Of this group only.")
FROM = Query(None, alias="from", description="Where to begin without a cursor.")
CURSOR = Query(None, description="The id of the last event that was seen. The header goes before it.")
CURSOR_HEADER = Header(None, alias="Last-Event-ID", description="As a browser's EventSource sends it.")


def make_router(
    runs: "Runs", prefix: str, *, owner: OwnerOf | None, tags: Sequence[str | Enum], options: dict[str, Any]
) -> APIRouter:
    """Return the routes. See `Runs.router`."""
    router = APIRouter(prefix=prefix, tags=list(tags))
    # As a default: FastAPI before 0.95 passes over `Annotated`, and anybody could say in the query who he is.
    asker = Depends(nobody if owner is None else _dependency(owner))

    @router.get("", response_model=list[RunInfo], responses={**NO_GROUP, **UNAVAILABLE})
    async def active_runs(group: str | None = IN_GROUP, reader: Any = asker) -> list[RunInfo]:
        """What is running and may be read, oldest first: for a page that comes back."""
        with answered():
            return await _active(runs, group, reader, owner is None)

    # Before the stream's: an id may have slashes.
    @router.get("/{id:path}/info", response_model=RunInfo, responses={**NOT_FOUND, **UNAVAILABLE})
    async def run_info(id: str, reader: Any = asker) -> RunInfo:  # noqa: A002 # the field's own name
        """How a run stands."""
        with answered():
            return await runs.info(id, reader=reader)

    @router.post("/{id:path}/cancel", status_code=202, response_model=RunInfo, responses={**NOT_FOUND, **UNAVAILABLE})
    async def cancel_run(id: str, reader: Any = asker) -> RunInfo:  # noqa: A002
        """Have a run end with `cancelled`, wherever it runs; of one that has ended nothing is changed."""
        with answered():
            return await runs.cancel(id, by=reader)

    @router.get("/{id:path}", status_code=200, response_class=RunResponse, responses=STREAM)
    async def stream_run(
        request: Request,
        id: str,  # noqa: A002
        reader: Any = asker,
        origin: Origin | None = FROM,
        last_event_id: str | None = CURSOR,
        last_event_id_header: str | None = CURSOR_HEADER,
    ) -> Response:
        """The events of a run, running or ended, from where the client was, or where it asks to begin."""
        with answered():
            return _in_json(await runs.response(id, request, reader=reader, **options))

    # For who asks for the head alone: no reader is counted, and nothing is read.
    router.head("/{id:path}", include_in_schema=False)(stream_run)
    return router


def _in_json(response: Response) -> Response:
    """Refuse as the other routes do: one form for all clients that are generated."""
    if response.status_code in (404, 503):
        raise RunNotFound if response.status_code == 404 else LogUnavailable
    return response


async def _active(runs: "Runs", group: str | None, reader: Owner, all_are_nobody: bool) -> list[RunInfo]:
    if group is None and reader is None:
        # A run without an owner is open to whoever has its id: that is not given to whoever asks.
        raise HTTPException(400, "Say which group: this request has no owner.")
    if (group is not None and not is_id(group)) or (reader is None and not all_are_nobody):
        return []  # where some have a name, a group's is no secret of those who have none
    return await runs.active(group=group, reader=reader)


def nobody() -> None:
    """Say that whoever asks is nobody in particular."""


def _dependency(owner: OwnerOf) -> OwnerOf:
    """Return what FastAPI can call: a parameter without a type would be one of the query to it."""
    parameters = list(inspect.signature(owner).parameters.values())
    if len(parameters) != 1 or not _is_bare(parameters[0]):
        return owner

    async def asked(request: Request) -> Any:
        # In a thread, as FastAPI calls its dependencies: it may ask a database.
        found = owner(request) if inspect.iscoroutinefunction(owner) else await run_in_threadpool(owner, request)
        return await found if inspect.isawaitable(found) else found

    return asked


def _is_bare(parameter: inspect.Parameter) -> bool:
    # `user=Depends(…)` has no annotation either, and is FastAPI's to fill: a request would pass for a user there.
    return parameter.annotation is parameter.default is inspect.Parameter.empty


@contextmanager
def answered() -> Iterator[None]:
    """Answer with a status what went wrong."""
    try:
        yield
    except RunNotFound:
        raise HTTPException(404, "There is no such run.") from None
    except LogUnavailable as exc:
        raise HTTPException(503, "The log of the runs is out of reach.", headers={"Retry-After": "5"}) from exc
