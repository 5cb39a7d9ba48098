"""What a client logs."""

from __future__ import annotations

import logging

import pytest

from unbroken.client import ReadyState, StateChange
from unbroken.client.trouble import Trouble
from unbroken.errors import ConnectFailed, UnbrokenError


def change(state: ReadyState, error: UnbrokenError | None = None) -> StateChange:
    """Return a change of state."""
    return StateChange(state=state, url="http://h/", error=error, delay=None if error is None else 1.5)


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning when it begins and one line when it is over, however many attempts fail; ends are not news."""
    trouble = Trouble()
    failed = change(ReadyState.CONNECTING, ConnectFailed("http://h/: refused"))
    with caplog.at_level(logging.INFO, "unbroken.client"):
        for each in (
            change(ReadyState.OPEN),
            change(ReadyState.CONNECTING),
            change(ReadyState.OPEN),
            failed,
            failed,
            failed,
            change(ReadyState.OPEN),
            failed,
            change(ReadyState.CLOSED),
        ):
            trouble.note(each)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "http://h/: refused; the next attempt is in 1.5 s"),
        ("INFO", "http://h/ is open again"),
        ("WARNING", "http://h/: refused; the next attempt is in 1.5 s"),
    ]
