"""What topics may be called."""

from __future__ import annotations

import pytest

from unbroken.errors import ConfigurationError, TopicNameError
from unbroken.hub.names import check_topic, check_topics


@pytest.mark.parametrize("name", ["t", "orders:42", "a/b c", "ü€😀", "x" * 256, "a$b", "*", "\u2028"])
def test_most_names_are_topics(name: str) -> None:
    """Any text that can be written on one line will do."""
    assert check_topic(name) == name
    assert check_topics([name]) == (name,)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (7, "topic=7 is a int: a topic's name is a str"),
        (None, "topic=None is a NoneType"),
        (b"t", "topic=b't' is a bytes"),
        ("", "topic='' has 0 characters: give 1 to 256"),
        ("x" * 257, "has 257 characters: give 1 to 256, or a digest of it"),
        ("$revoked", "begins with '$': such names are the hub's own"),
        ("a\nb", "holds '\\n': leave out what cannot be printed"),
        ("a\0", "holds '\\x00'"),
        ("a\x85", "holds '\\x85'"),
        ("a\udc80", "holds '\\udc80'"),
    ],
)
def test_what_is_no_topic_is_refused(name: object, words: str) -> None:
    """The error shows the name, what is wrong with it, and what would do; it can be told from others, to answer 404."""
    with pytest.raises(TopicNameError) as caught:
        check_topic(name)
    assert words in str(caught.value)
    with pytest.raises(TopicNameError):
        check_topics(["t", name])


def test_a_long_name_is_not_shown_in_full() -> None:
    """An error's text has a bound, too."""
    with pytest.raises(ConfigurationError) as caught:
        check_topic("x" * 100_000)
    assert len(str(caught.value)) < 200


def test_the_topics_of_a_connection_are_sorted_and_bounded() -> None:
    """1 to 32, each once; their order does not matter."""
    assert check_topics(["b", "a"]) == ("a", "b")
    assert len(check_topics([f"t{number}" for number in range(32)])) == 32
    with pytest.raises(ConfigurationError, match="0 topics were given: one connection reads 1 to 32"):
        check_topics([])
    with pytest.raises(ConfigurationError, match=r"33 topics were given.*publish to a topic of the reader's own"):
        check_topics([f"t{number}" for number in range(33)])
    with pytest.raises(ConfigurationError, match="topic 'a' was given twice"):
        check_topics(["a", "b", "a"])
