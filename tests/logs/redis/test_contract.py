"""The log in Redis keeps the contract."""

from __future__ import annotations

import pytest

from tests.engines.valkey import Valkey
from unbroken.logs import Log, open_log
from unbroken.testing.logs import LogContract


class TestRedisLog(LogContract):
    @pytest.fixture(autouse=True)
    def _place(self, valkey: Valkey, prefix: str) -> None:
        self.url = f"{valkey.url}?prefix={prefix}"

    def make_log(self) -> Log:
        return open_log(self.url)
