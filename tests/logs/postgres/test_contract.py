"""The log in PostgreSQL keeps the contract."""

from __future__ import annotations

import pytest

from unbroken.logs import Log, open_log
from unbroken.testing.logs import LogContract
from unbroken.testing.logs.telling import TellingContract


class TestPostgresLog(LogContract):
    @pytest.fixture(autouse=True)
    def _place(self, url: str) -> None:
        self.url = url

    def make_log(self) -> Log:
        return open_log(self.url)


LOOKING = "&wake=poll&poll_interval=0.02&prepared_statements=false&synchronous_commit=off"


class TestPostgresLogThatLooks(TellingContract):
    """Without notifications and prepared statements: of that part of the contract in which these take part."""

    @pytest.fixture(autouse=True)
    def _place(self, url: str) -> None:
        self.url = url + LOOKING

    def make_log(self) -> Log:
        return open_log(self.url)


@pytest.mark.soak
class TestAllOfPostgresLogThatLooks(TestPostgresLog):
    @pytest.fixture(autouse=True)
    def _place(self, url: str) -> None:
        self.url = url + LOOKING
