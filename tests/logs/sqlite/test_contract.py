"""The log in a file keeps the contract, with either durability."""

from __future__ import annotations

from pathlib import Path

import pytest

from unbroken.logs import Log, open_log
from unbroken.testing.logs import LogContract


class TestSQLiteLog(LogContract):
    synchronous = "normal"

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/events.db?synchronous={self.synchronous}"

    def make_log(self) -> Log:
        return open_log(self.url)


class TestSQLiteLogThatSurvivesTheMachine(TestSQLiteLog):
    synchronous = "full"
