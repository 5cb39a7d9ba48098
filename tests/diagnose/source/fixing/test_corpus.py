"""`fix` over the whole corpus: what it leaves, and that the streams go on as they were."""

from __future__ import annotations

import difflib

import pytest

from tests.diagnose.source.fixing.support import NOT_RUN, SOURCES, events_of, fixed, module_of, source
from unbroken.diagnose.source.fixing import fix_text

LEFT = {
    "blocking_requests_in_helper": ("SSE007", "whether another library or a thread makes the request is a choice"),
    "blocking_sqlite": ("SSE007 SSE007", "so it is with the database"),
    "blocking_subprocess": ("SSE007", "and with the process"),
    "brotli_middleware": ("SSE015", "what else it compresses is not known"),
    "cancel_suppressed": ("SSE005", "what follows the `suppress` would be left out"),
    "content_encoding_header": ("SSE015", "the generator compresses by itself"),
    "escaped_line_breaks": ("SSE018", "a backslash and an n may be meant"),
    "guarded_except_reset": ("SSE003", "a guarded response stays, and does not raise it"),
    "gzip_by_hand": ("SSE015", "the middleware has to be written anew"),
    "gzip_with_own_list": ("SSE015", "the list may be shared"),
    "headers_of_upstream": ("SSE002", "the body of a response is read by hand, which ours has not"),
    "helper_frames_text": ("SSE011", "the helper puts its frame together in two steps"),
    "http_middleware_class_collects": ("SSE014", "the middleware has to be written anew"),
    "http_middleware_decorator": ("SSE014", "the middleware has to be written anew"),
    "openai_sync_in_async": ("SSE007 SSE007", "the asynchronous client has other types"),
    "ping_turned_off": ("SSE002", "it was turned off on purpose"),
    "removed_in_except": ("SSE008", "it is registered in one function and removed in another"),
    "response_subclass": ("SSE017", "the class overrides more than its content type"),
    "session_annotated_held": ("SSE010", "what is read from the session, and when, is not plain"),
    "session_dependency_held": ("SSE010", "what is read from the session, and when, is not plain"),
    "session_imported_held": ("SSE010", "what is read from the session, and when, is not plain"),
    "session_in_generator": ("SSE010", "what is read from the session, and when, is not plain"),
    "spins_on_empty_list": ("SSE004", "what to wait for is not in the source"),
    "spins_on_get_nowait": ("SSE004", "how long to wait is a choice"),
    "subscribers_and_workers": ("SSE020", "what carries events between workers is a choice"),
    "sync_queue": ("SSE006", "the other end of the queue would have to change"),
    "sync_requests_lines": ("SSE006", "the asynchronous client is another library"),
    "text_without_field": ("SSE018 SSE018", "which events were meant is not plain"),
    "unbounded_memory_stream": ("SSE009", "how much may wait is a choice"),
    "unbounded_subscriber": ("SSE009", "how much may wait is a choice"),
    "unbroken_without_heartbeat": ("SSE002", "it was turned off on purpose"),
    "yield_in_task_group": ("SSE016", "the work has to move to another task"),
    "yield_in_timeout": ("SSE016", "the limit has to move to the awaits"),
}
"""What no rewrite mends, and why."""

MENDED = {
    "bare_tokens": ("message", "hello "),
    "frame_without_end": ("message", "0"),
    "framed_twice": ("message", "0"),
    "framed_twice_fastapi_sse": ("message", "0"),
    "framed_twice_unbroken": ("number", "0"),
    "frames_as_plain_text": ("message", "0"),
    "indented_json_in_frame": ("message", '{\n  "number": 0\n}'),
    "json_without_field": ("message", '{"number": 0}'),
    "no_content_type": ("message", "0"),
    "text_of_users_in_frame": ("message", "hello"),
}
"""Where the framing, or the content type, is what was wrong: the first event that a client reads afterwards."""

NEVER_THE_SAME = {"clock_without_end", "mcp_like_right", "numbers_in_frame_right", "slow_tick"}
"""Their data are times, random numbers or ids; what is compared is how many events of which type there are."""

NOT_COMPARED = {"session_dependency_held"}
"""Its SQLite session goes from thread to thread and fails by chance."""

SILENT = {"content_encoding_header", "escaped_line_breaks", "gzip_by_hand", "json_lines_right"}
"""Not one event for a client to read: compressed, never ended, or no event stream."""

RUN = tuple(name for name in SOURCES if NOT_RUN not in source(name) and name not in NOT_COMPARED)


@pytest.mark.parametrize("name", SOURCES)
def test_what_check_finds_afterwards_is_what_fix_said_that_it_leaves(name: str) -> None:
    """After `fix` a source of the corpus has no finding but those in the table of this file, each told with a why."""
    expected = LEFT.get(name, ("", ""))[0].split()
    assert [leftover.finding.code for leftover in fixed(name).left] == expected
    assert all(leftover.why for leftover in fixed(name).left)


def test_the_table_of_what_is_left_names_no_source_that_is_gone() -> None:
    """Each row of the tables is about a source that there is."""
    assert {*LEFT, *MENDED, *NEVER_THE_SAME, *NOT_COMPARED, *SILENT} <= set(SOURCES)


@pytest.mark.parametrize(
    "name",
    [name if not place % 4 else pytest.param(name, marks=pytest.mark.soak) for place, name in enumerate(SOURCES)],
)
def test_a_second_fix_changes_nothing(name: str) -> None:
    """`fix` of what `fix` wrote is what it wrote."""
    assert fix_text(fixed(name).text, path=f"{name}.py").text == fixed(name).text


@pytest.mark.parametrize("name", SOURCES)
def test_no_line_changes_but_those_of_a_rewrite(name: str) -> None:
    """Lines away from a changed statement and the imports stay as they are."""
    before, after = source(name).splitlines(), fixed(name).text.splitlines()
    kept = sum(
        match.size for match in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    )
    # A rewritten response is up to eight lines, a body put into a `try` up to six, an import or a yield is one.
    assert len(before) - kept <= 8 * len(fixed(name).changes)
    assert fixed(name).changes or before == after


MISSING = ("import openai", "from openai", "from brotli_asgi")
"""What some sources import, and the tests have not."""


@pytest.mark.parametrize(
    "name", [name for name in SOURCES if NOT_RUN in source(name) and not any(text in source(name) for text in MISSING)]
)
def test_a_source_that_could_not_run_imports_afterwards(name: str) -> None:
    """What `fix` made of it can be imported and has its application."""
    with module_of(fixed(name).text, name) as module:
        assert callable(module.app)


@pytest.mark.parametrize("name", RUN)
def test_a_fixed_stream_sends_the_events_that_it_sent(name: str) -> None:
    """A client reads the same events before and after; where the framing was wrong, those that were meant."""
    after = events_of(fixed(name).text, name)
    if name in MENDED:
        assert after[0][:2] == MENDED[name]
        return
    before = events_of(source(name), name)
    if name in NEVER_THE_SAME:
        assert [event for event, _, _ in after] == [event for event, _, _ in before]
    else:
        assert after == before
    assert bool(after) == (name not in SILENT)


@pytest.mark.parametrize("name", ["import_from_starlette", "import_from_starlette_sse", "import_with_alias"])
def test_an_import_that_failed_leads_to_a_stream(name: str) -> None:
    """Where nothing could be imported, events are sent afterwards."""
    with pytest.raises(ImportError), module_of(source(name), name):
        pass
    assert events_of(fixed(name).text, name)
