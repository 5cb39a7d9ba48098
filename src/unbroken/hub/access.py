"""Who may read a topic: asked before anything of it is read, live or from the log."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from unbroken.errors import ConfigurationError

__all__ = ["Authorize", "Decision", "Grant", "check_user", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to read a topic, with what is known of the reader.

    Attributes:
        user: Who it is, for `Hub.revoke(user=…)`: a str or an int.
        max_age: Seconds for which it holds, such as until a token expires; then the stream ends with `max_age`, and
            the client that comes back is asked anew. 0 or less is a denial, None is without bound.

    Raises:
        ConfigurationError: `user` is neither a str nor an int, or `max_age` is not a number.
    """

    user: str | int | None = None
    max_age: float | None = None

    def __post_init__(self) -> None:
        check_user(self.user)
        age = self.max_age
        if age is not None and (isinstance(age, bool) or not isinstance(age, int | float)):
            raise ConfigurationError(f"max_age={age!r} is not a time: give seconds, or None")


def check_user(user: object) -> None:
    """Refuse what another process could not compare.

    Raises:
        ConfigurationError: it is neither a str nor an int.
    """
    if user is not None and (isinstance(user, bool) or not isinstance(user, str | int)):
        raise ConfigurationError(
            f"user={user!r} is a {type(user).__name__}: give a str or an int, the same in each place, such as str(user)"
        )


Decision = bool | Grant | None
Authorize = Callable[[HTTPConnection, str], Decision | Awaitable[Decision]]


async def decide(authorize: Authorize | None, request: HTTPConnection, topics: Sequence[str]) -> Grant | None:
    """Return what `authorize` grants for all of the topics, or None if one is denied. Without it all are public.

    What it raises is raised to the framework: an `HTTPException` becomes its response.

    Raises:
        ConfigurationError: `authorize` returned what is no decision.
    """
    grants = [Grant()]
    for topic in topics if authorize is not None else ():
        answer = authorize(request, topic)  # type: ignore[misc] # not None, or there are no topics
        decision = await answer if inspect.isawaitable(answer) else answer
        if not decision:
            return None
        grants.append(_grant(decision))
    if any(grant.max_age is not None and grant.max_age <= 0 for grant in grants):
        return None  # it has expired
    ages = [grant.max_age for grant in grants if grant.max_age is not None]
    users = [grant.user for grant in grants if grant.user is not None]
    return Grant(user=users[0] if users else None, max_age=min(ages, default=None))


def _grant(decision: object) -> Grant:
    if decision is True:
        return Grant()
    if isinstance(decision, Grant):
        return decision
    raise ConfigurationError(
        f"authorize returned a {type(decision).__name__}: return True, False or a Grant(user=…), and nothing that is "
        "merely true"
    )
