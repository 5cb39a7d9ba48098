"""Runs by their ids, for whoever may have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from unbroken.errors import ConfigurationError, RunNotFound
from unbroken.hub.home import Home
from unbroken.runs.names import Owner, System, digest_of, is_id, user_of
from unbroken.runs.record import Record, RunInfo
from unbroken.runs.response import Origin, RunResponse

if TYPE_CHECKING:
    from unbroken.runs.works import Works

__all__ = ["Access", "not_open"]


def not_open() -> ConfigurationError:
    """Return what is raised where runs are used before they are opened, after that, or on another loop."""
    return ConfigurationError("these runs are not open on this event loop: FastAPI(lifespan=runs.lifespan)")


class Access:
    """Finds runs, and does what can be asked of one. On the hub's loop only."""

    def __init__(self, home: Home, works: Works) -> None:
        self._home = home
        self._works = works

    async def find(self, id: str, reader: Owner) -> Record | None:  # noqa: A002 # the field's own name
        """Return a run that somebody may read; None if there is none, or it is another owner's.

        Raises:
            ConfigurationError: nobody can be an owner like this reader, whether the run has one or not.
            LogUnavailable: the log has to be asked for it, and cannot be.
        """
        if not isinstance(reader, System):
            digest_of(reader)
        record = await self._open.index.find(id) if is_id(id) else None
        return record if record is not None and record.is_open_to(reader) else None

    async def found(self, id: str, reader: Owner) -> Record:  # noqa: A002
        """Return a run that somebody may read.

        Raises:
            RunNotFound: there is none, or it is another owner's.
            LogUnavailable: as `find`.
        """
        record = await self.find(id, reader)
        if record is None:
            raise _no_run(str(id)[:128])
        return record

    def known(self, id: str) -> Record:  # noqa: A002
        """Return what this process knows of a run, whoever asks.

        Raises:
            RunNotFound: nothing.
        """
        record = self._open.index.get(id)
        if record is None:
            raise _no_run(id)
        return record

    async def wait(self, id: str) -> RunInfo:  # noqa: A002
        """Wait until a run has ended. See `Run.wait`."""
        index = self._open.index
        await index.ended(id)
        record = index.get(id)
        if record is None:
            raise _no_run(id)
        return record.info

    async def cancel(self, record: Record) -> None:
        """Cancel a run. See `Runs.cancel`."""
        works = self._open
        if record.is_running and not record.cancelled:
            await works.cancel(record)

    def stream(
        self, record: Record, request: Request, *, user: Owner, origin: Origin = "start", **options: Any
    ) -> RunResponse:
        """Return the response that streams a run, to whom it may."""
        readers = self._open.readers if record.watched and record.is_running else None
        return RunResponse(
            self._home, request, record.run, origin=origin, readers=readers, user=user_of(user), **options
        )

    @property
    def _open(self) -> Works:
        if self._works.is_closed or not self._works.desk.engine.is_ours():
            raise not_open()
        return self._works


def _no_run(id: str) -> RunNotFound:  # noqa: A002
    return RunNotFound(f"there is no run {id!r}")
