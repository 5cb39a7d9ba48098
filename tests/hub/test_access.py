"""Who may read: what `authorize` may answer, and what is made of it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from unbroken.errors import ConfigurationError
from unbroken.hub import Hub
from unbroken.hub.access import Authorize, Grant, decide

REQUEST = HTTPConnection({"type": "http", "headers": []})


def decided(authorize: Authorize | None, *topics: str) -> Grant | None:
    """Return the decision."""
    return asyncio.run(decide(authorize, REQUEST, topics or ("t",)))


def test_without_a_callable_all_may_read() -> None:
    """That is `public=True`, which has to be said to get here."""
    assert decided(None) == Grant()


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_no_leave_is_no_grant(answer: Any) -> None:
    """What is not true denies."""
    assert decided(lambda request, topic: answer) is None


def test_each_topic_is_asked_for_with_the_request() -> None:
    """One that is denied denies the whole, and no further one is asked for."""
    asked: list[tuple[object, str]] = []

    def authorize(request: HTTPConnection, topic: str) -> bool:
        asked.append((request, topic))
        return topic != "b"

    assert decided(authorize, "a", "c") == Grant()
    assert decided(authorize, "a", "b", "c") is None
    assert asked == [(REQUEST, name) for name in ("a", "c", "a", "b")]


def test_a_coroutine_function_is_awaited() -> None:
    """`authorize` may look into a database."""

    async def authorize(request: HTTPConnection, topic: str) -> Grant | bool:
        await asyncio.sleep(0)
        return Grant(user=7) if topic == "a" else False

    assert decided(authorize, "a") == Grant(user=7)
    assert decided(authorize, "a", "b") is None


def test_several_grants_become_one() -> None:
    """The first user that is named, and the shortest of the times."""
    ann, bob = Grant(user="ann", max_age=30), Grant(user="bob")
    grants: dict[str, Grant | bool] = {"a": Grant(max_age=60), "b": ann, "c": bob, "d": True}
    assert decided(lambda request, topic: grants[topic], *"abcd") == ann
    assert decided(lambda request, topic: grants[topic], "c", "d") == bob


@pytest.mark.parametrize("answer", [1, "yes", {"user": 1}, object(), [Grant()]])
def test_what_is_merely_true_is_no_decision(answer: Any) -> None:
    """A user object returned by mistake must not open the topic."""
    with pytest.raises(ConfigurationError, match=f"authorize returned a {type(answer).__name__}: return True, False"):
        decided(lambda request, topic: answer)


def test_what_it_raises_is_for_the_framework() -> None:
    """An HTTPException stays what it is: 401 with its headers, say."""

    def authorize(request: HTTPConnection, topic: str) -> bool:
        raise HTTPException(401, headers={"www-authenticate": "Bearer"})

    with pytest.raises(HTTPException) as caught:
        decided(authorize)
    assert caught.value.status_code == 401


@pytest.mark.parametrize("age", [0, -30, -0.5, float("-inf")])
def test_a_grant_that_has_expired_is_a_denial(age: float) -> None:
    """A token whose time is over while its request was on its way reads nothing; nor does it with others beside it."""
    grants: dict[str, Grant | bool] = {"a": Grant(user="ann", max_age=age), "b": Grant(max_age=60), "c": True}
    assert decided(lambda request, topic: grants[topic], "a") is None
    assert decided(lambda request, topic: grants[topic], "b", "a", "c") is None
    assert decided(lambda request, topic: grants[topic], "b", "c") == Grant(max_age=60)


@pytest.mark.parametrize("user", [uuid4(), True, 1.5, b"ann", ("ann",)])
def test_a_user_is_what_another_process_can_compare(user: Any) -> None:
    """A revocation goes through the log as text: what would not come out as it went in is refused at once."""
    words = f"is a {type(user).__name__}: give a str or an int"
    with pytest.raises(ConfigurationError, match=words):
        Grant(user=user)
    with pytest.raises(ConfigurationError, match=words):
        Hub("memory://").response(Request({"type": "http", "headers": []}), "t", public=True, user=user)
    with pytest.raises(ConfigurationError, match=words):
        asyncio.run(Hub("memory://").revoke(user=user))


@pytest.mark.parametrize("age", [True, "60"])
def test_an_age_is_a_number(age: Any) -> None:
    """Of seconds."""
    with pytest.raises(ConfigurationError, match=f"max_age={age!r} is not a time: give seconds, or None"):
        Grant(max_age=age)
