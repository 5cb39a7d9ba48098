"""`Run`: what a producer sends by, and what whoever started it, or came later, has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from unbroken.errors import ConfigurationError
from unbroken.runs.names import UserId
from unbroken.runs.record import RunInfo, RunStatus

if TYPE_CHECKING:
    from unbroken.runs.access import Access
    from unbroken.runs.production import Production
    from unbroken.runs.response import RunResponse

__all__ = ["Run"]


class Run:
    """A run: given to its producer, and returned by `Runs.start`. To be used on the loop of its `Runs`.

    Attributes:
        id: What it is read and cancelled by.
        owner: Whose it is, in what `Runs.start` returned; nobody's in its producer, which may be at another process.
    """

    def __init__(self, access: Access, id: str, production: Production | None) -> None:  # noqa: A002 # the field's own name
        self.id = id
        self.owner: UserId | None = None
        self._access = access
        self._production = production

    @property
    def info(self) -> RunInfo:
        """How it stands, as far as this process knows."""
        return self._access.known(self.id).info

    @property
    def status(self) -> RunStatus:
        """How it stands."""
        return self.info.status

    @property
    def attempt(self) -> int:
        """1; more when its process was lost and this one began anew."""
        return self.info.attempt if self._production is None else self._production.record.attempt

    # For its producer.

    async def send(self, data: object, event: str | None = None) -> None:
        """Append an event; readers get it live, and whoever comes later finds it.

        Without `coalesce` it is as durable as the hub's log says when this returns; with it, when it has left with
        others, and what went wrong then is raised by the next call. While the log is out of reach it is tried for a
        minute.

        Args:
            data: A str goes as it is, anything else as JSON; or a `ServerSentEvent` without an id.
            event: The event type; not one that begins with `run-` or `stream-`.

        Raises:
            EncodeError: the data has no form on the wire, or is larger than the hub's `max_event_bytes`.
            RunLimitExceeded: the run has sent as much as it may. It ends with `error`.
            RunEnded: it has ended, or another process has taken it over: return.
            LogUnavailable: it cannot be said that it was appended.
            ConfigurationError: another process produces it.
        """
        await self._produced().send(data, event)

    async def flush(self) -> None:
        """Append now what waits to be coalesced.

        Raises:
            RunEnded, LogUnavailable, ConfigurationError: as `send`.
        """
        await self._produced().flush()

    async def snapshot(self, state: object) -> None:
        """Append all that was sent so far as one event, `run-snapshot`: later readers may begin there.

        Args:
            state: What a reader needs to go on from here: a str as it is, anything else as JSON.

        Raises:
            EncodeError, RunLimitExceeded, RunEnded, LogUnavailable, ConfigurationError: as `send`.
        """
        await self._produced().snapshot(state)

    async def finish(self, result: object = None) -> None:
        """End the run with `done` and a result, in the last event. A producer that returns does so without one.

        Args:
            result: Whatever has a form in JSON.

        Raises:
            EncodeError, RunLimitExceeded, RunEnded, LogUnavailable, ConfigurationError: as `send`.
        """
        await self._produced().finish(result)

    # For everybody.

    async def wait(self) -> RunInfo:
        """Wait until it has ended, wherever it runs, or until its `Runs` is closed; return how it stands."""
        return await self._access.wait(self.id)

    async def cancel(self) -> None:
        """Cancel it, wherever it runs. See `Runs.cancel`."""
        await self._access.cancel(self._access.known(self.id))

    def response(self, request: Request, *, user: UserId | None = None, **options: Any) -> RunResponse:
        """Return a response that streams it, whoever asks: who has a `Run` was let have it.

        Args:
            request: The request.
            user: Who reads, for `Hub.revoke(user=…)`; None is the owner with whom it was started.
            **options: As in `Runs.response`.
        """
        reader = self.owner if user is None else user
        return self._access.stream(self._access.known(self.id), request, user=reader, **options)

    def _produced(self) -> Production:
        if self._production is None:
            raise ConfigurationError(
                f"run {self.id!r} was there already, and has a producer: only that one sends to it"
            )
        return self._production

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.status}>"
