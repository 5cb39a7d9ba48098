"""The log in NATS keeps the contract, with either storage."""

from __future__ import annotations

import pytest

from tests.engines.nats import Nats
from tests.logs.nats.running import Stream
from unbroken.logs import Log, open_log
from unbroken.testing.logs import LogContract


class TestNATSLog(LogContract):
    storage = "file"

    @pytest.fixture(autouse=True)
    def _place(self, server: Nats, stream: Stream) -> None:
        self.url = stream.at(server.url, storage=self.storage)

    def make_log(self) -> Log:
        return open_log(self.url)


class TestNATSLogInMemory(TestNATSLog):
    storage = "memory"
