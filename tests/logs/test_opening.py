"""From a URL to a log: what cannot be read is said, and no password."""

from __future__ import annotations

import pytest

from unbroken.errors import ConfigurationError
from unbroken.logs import open_log


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "'' names no log"),
        ("no url", "'no url' names no log"),
        ("kafka://host", "'kafka://…' names no log"),
        ("kafka://hidden@host", "'kafka://…' names no log"),
        ("user:hidden@host", "'…' names no log"),
        ("user:hidden://word@host", "'…' names no log"),
        ("hidden@host://", "'…' names no log"),
        ("//[hidden@host", "'…' names no log"),
        ("memory://user:hidden@host", "memory:// has no user"),
        ("sqlite://user:hidden@/events.db", "sqlite:// has no user"),
        ("sqlite://[hidden/events.db", "'sqlite://…' cannot be read"),
        ("postgresql://user:hidden[@host", "percent-encode"),
    ],
)
def test_a_url_that_names_no_log(url: str, said: str) -> None:
    """It is a ConfigurationError, whatever is wrong, and shows no password."""
    with pytest.raises(ConfigurationError) as caught:
        open_log(url)
    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_path_may_have_anything() -> None:
    """A file's path is none of a server's: an `@` in it hides nothing."""
    with pytest.raises(ConfigurationError, match="has no setting speed"):
        open_log("sqlite:////home/a@b/events.db?speed=9")
