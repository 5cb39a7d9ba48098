"""The contract of a log, as tests: for whoever writes a log of his own.

    class TestMyLog(LogContract):
        def make_log(self) -> Log:
            return MyLog("somewhere")

That is all: pytest finds the tests that the class inherits, each with a docstring that says which promise it holds.
It needs no plugin; every wait has a deadline.
"""

from unbroken.testing.logs.appending import AppendingContract
from unbroken.testing.logs.handles import Handle, Handles, Recorder
from unbroken.testing.logs.life import LifeContract
from unbroken.testing.logs.reading import ReadingContract
from unbroken.testing.logs.refusing import RefusingContract
from unbroken.testing.logs.telling import TellingContract
from unbroken.testing.logs.trimming import TrimmingContract

__all__ = ["Handle", "Handles", "LogContract", "Recorder"]


class LogContract(
    AppendingContract, RefusingContract, ReadingContract, TellingContract, TrimmingContract, LifeContract
):
    """Every promise of `unbroken.logs.contract`, as tests. A subclass gives `make_log`."""
