"""What is public, and that all of it is there."""

from __future__ import annotations

import importlib
import inspect

import pytest

import unbroken
from unbroken import errors

PUBLIC = [
    "unbroken", "unbroken.wire", "unbroken.errors", "unbroken.observe", "unbroken.observe.opentelemetry",
    "unbroken.observe.prometheus", "unbroken.status", "unbroken.testing", "unbroken.servers",
    "unbroken.diagnose", "unbroken.diagnose.endpoint", "unbroken.diagnose.logs", "unbroken.diagnose.source",
    "unbroken.compat.starlette", "unbroken.compat.sse_starlette", "unbroken.compat.fastapi",
    "unbroken.hub", "unbroken.logs", "unbroken.runs", "unbroken.servers.uvicorn",
]  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """`__all__` is sorted, resolves, and what it names has a docstring of its own where it is a class or function."""
    module = importlib.import_module(name)
    assert sorted(module.__all__, key=lambda word: (not word.isupper(), not word[0].isupper(), word)) == module.__all__
    for word in module.__all__:
        value = getattr(module, word)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{word}"


def test_the_names_that_users_rely_on() -> None:
    """The package's own names, of this release."""
    assert set(unbroken.__all__) == {
        "ClientDisconnected", "CloseReason", "EncodeError", "EventSourceResponse", "EventStreamGuard", "Hub",
        "Limits", "ServerClosing", "ServerSentEvent", "StreamClosed", "drain", "while_connected",
    }  # fmt: skip


def test_the_end_of_a_stream_is_a_connection_reset() -> None:
    """Every one of them is caught by `except ConnectionResetError`, and says its reason."""
    for reason in errors.CloseReason:
        closed = errors.StreamClosed(reason)
        assert isinstance(closed, ConnectionResetError)
        assert closed.reason is reason
        assert str(closed)
    assert issubclass(errors.ClientDisconnected, errors.StreamClosed)
    assert issubclass(errors.ServerClosing, errors.StreamClosed)


def test_a_missing_extra_names_the_command() -> None:
    """The error is an ImportError whose text can be pasted."""
    error = errors.MissingExtraError("typer", "demo")
    assert isinstance(error, ImportError)
    assert "pip install 'unbroken[demo]'" in str(error)
