"""What a client decides, without any I/O; tests/faults/client has the same with real connections."""

from __future__ import annotations

import pytest

from unbroken.client.answer import Answer, refusal_of
from unbroken.client.session import Session
from unbroken.client.state import ReadyState
from unbroken.client.steps import Connect, Read, Stop, Wait
from unbroken.errors import (
    ConnectFailed,
    EventSourceError,
    EventTooLarge,
    LineTooLong,
    ReconnectFailed,
    StreamFailed,
    StreamRevoked,
    StreamStalled,
    StreamTruncated,
    UnbrokenError,
)
from unbroken.wire import DecodedEvent

from .sessions import STREAM, URL, Clock, a_session, connect, data_of, taken

LOST = StreamTruncated("lost")
NO_CONNECTION = ConnectFailed("refused")


def refused(status: int, **headers: str) -> EventSourceError:
    """Return the error for an answer of this status."""
    return refusal_of(Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}), b"", URL)


def stopped(session: Session) -> Exception | None:
    """Return why a session stopped, and fail if it has not."""
    assert isinstance(session.step, Stop)
    return session.step.error


def delays(session: Session, errors: list[EventSourceError]) -> list[float]:
    """Let attempts fail one after the other, and return the seconds before the next of each."""
    found = []
    for error in errors:
        if isinstance(session.step, Wait):
            session.waited()
        session.failed(error)
        assert isinstance(session.step, Wait)
        found.append(session.step.delay)
    return found


class TestPlace:
    """Where the next connection goes on."""

    def test_it_is_behind_all_that_came(self) -> None:
        """A connection that breaks is asked for what follows the last whole event."""
        session = a_session()
        session.received(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c")
        session.failed(LOST)
        assert (session.last_event_id, data_of(session)) == ("2", ["a", "b"])

    def test_an_id_without_data_does_not_go_back(self) -> None:
        """The program's place is behind an ID that came without data, also if another event comes."""
        session = a_session()
        session.received(b"id: 5\ndata: a\n\n")
        session.take()
        session.received(b"id: 7\n\n")
        assert session.handled_id == "7"
        session.received(b"id: 8\ndata: b\n\n")
        assert session.handled_id == "7"

    def test_an_id_without_data_moves_it(self) -> None:
        """WHATWG 9.2.6 commits an ID before it looks for data."""
        session = a_session()
        session.received(b"id: 1\ndata: a\n\nid: 7\n\n")
        assert session.last_event_id == "7"

    def test_an_empty_id_takes_it_back(self) -> None:
        """WHATWG 9.2.6: an empty ID resets it, and the next connection asks for nothing special."""
        session = a_session(last_event_id="5")
        session.received(b"id:\ndata: a\n\n")
        assert session.last_event_id == ""

    def test_events_keep_it_over_a_reconnection(self) -> None:
        """As in browsers, an event without an ID of its own has the last one, also of the connection before."""
        session = a_session()
        session.received(b"id: 1\ndata: a\n\n")
        session.failed(LOST)
        connect(session)
        session.received(b"data: b\n\nid: 2\ndata: c\n\ndata: d\n\n")
        assert [(event.data, event.last_event_id) for event in taken(session)] == [
            ("a", "1"),
            ("b", "1"),
            ("c", "2"),
            ("d", "2"),
        ]

    def test_what_was_not_taken_is_not_handled(self) -> None:
        """The place of the program is behind the event that it took last, whatever came already."""
        session = a_session()
        session.received(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
        assert session.handled_id == ""
        session.take()
        assert session.handled_id == "1"
        session.take()
        assert session.handled_id == "2"

    def test_a_close_goes_back_to_it(self) -> None:
        """Events that came and were not taken are before the place, once the client is closed."""
        session = a_session()
        session.received(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
        session.take()
        session.close()
        assert (session.handled_id, len(session.ready)) == ("1", 0)

    @pytest.mark.parametrize(
        "last",
        ['event: stream-end\ndata: {"reason":"shutdown"}', 'event: stream-error\ndata: {"reason":"producer_error"}'],
        ids=["stream-end", "stream-error"],
    )
    def test_what_follows_the_last_event_does_not_move_it(self, last: str) -> None:
        """Behind an event that ends the connection nothing is read, so the place is there."""
        session = a_session()
        session.received(f"id: 1\ndata: a\n\n{last}\n\nid: 2\ndata: b\n\n".encode())
        assert (session.last_event_id, data_of(session)) == ("1", ["a"])

    def test_the_event_that_ends_the_stream_moves_it(self) -> None:
        """It was read, if not given to the program; what follows it was not."""
        session = a_session(end="[DONE]")
        session.received(b"id: 1\ndata: [DONE]\n\nid: 2\ndata: b\n\n")
        assert (session.last_event_id, data_of(session), stopped(session)) == ("1", [], None)


class TestDuplicates:
    """Events that a server repeats after a reconnection."""

    def read_again(self, before: bytes, after: bytes, **options: object) -> Session:
        """Read on one connection, then on another."""
        session = a_session(**options)  # type: ignore[arg-type]
        session.received(before)
        session.failed(LOST)
        connect(session)
        session.received(after)
        return session

    def test_an_inclusive_replay_is_dropped(self) -> None:
        """A server that begins with the very event that was read last repeats nothing to the program."""
        session = self.read_again(b"id: 1\ndata: a\n\n", b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
        assert (data_of(session), session.stats.duplicates, session.stats.events) == (["a", "b"], 1, 2)

    def test_a_replay_from_further_back_is_given_again(self) -> None:
        """Or new events of a server that counts anew, nobody can tell: once more rather than never."""
        first = b"".join(b"id: %d\ndata: x\n\n" % at for at in range(3))
        session = self.read_again(first, first + b"id: 3\ndata: x\n\n")
        assert (len(taken(session)), session.stats.duplicates) == (7, 0)

    def test_all_events_of_the_last_id_may_be_repeated(self) -> None:
        """What a server sent under one ID it sends again under it, in the same order."""
        one = b"id: 1\ndata: a\n\nid: 1\ndata: b\n\n"
        session = self.read_again(one, one + b"id: 1\ndata: c\n\n")
        assert data_of(session) == ["a", "b", "c"]

    def test_a_replay_goes_through_to_the_newest(self) -> None:
        """What does not follow in the same order is new."""
        session = self.read_again(b"id: 1\ndata: a\n\nid: 1\ndata: b\n\n", b"id: 1\ndata: b\n\nid: 1\ndata: a\n\n")
        assert data_of(session) == ["a", "b", "a"]

    def test_they_may_be_kept(self) -> None:
        """`drop_duplicates=False` leaves it to the program, the restored place too."""
        again = b"id: 1\ndata: a\n\n"
        session = self.read_again(again, again, drop_duplicates=False, last_event_id="1")
        assert data_of(session) == ["a", "a"]

    def test_ids_that_begin_anew_are_no_duplicates(self) -> None:
        """A server that counts from 1 again after a restart sends other events under the same IDs."""
        session = self.read_again(b"id: 1\ndata: x\n\nid: 2\ndata: x\n\n", b"id: 1\ndata: x\n\nid: 2\ndata: x\n\n")
        assert data_of(session) == ["x"] * 4

    def test_of_equal_events_the_fewest_are_dropped(self) -> None:
        """Where the ID and the data are always the same, one is lost at most."""
        beat = b"id: 1\ndata: x\n\n"
        session = self.read_again(beat * 5, beat * 5)
        assert data_of(session) == ["x"] * 9

    def test_events_without_ids_are_never_dropped(self) -> None:
        """Nobody can know whether they are new."""
        session = self.read_again(b"data: x\n\n", b"data: x\n\n")
        assert data_of(session) == ["x", "x"]

    def test_an_event_without_an_id_does_not_end_the_search(self) -> None:
        """A greeting before the replay is given, and the replay still recognised."""
        session = self.read_again(b"id: 1\ndata: a\n\n", b"data: hello\n\nid: 1\ndata: a\n\nid: 2\ndata: b\n\n")
        assert data_of(session) == ["a", "hello", "b"]

    def test_only_the_beginning_of_a_connection_is_searched(self) -> None:
        """Behind the first new event all is new, also what looks like an old one."""
        session = self.read_again(b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\nid: 1\ndata: a\n\n")
        assert data_of(session) == ["a", "b", "a"]

    def test_a_restored_place_drops_one(self) -> None:
        """After a restart of the program the ID alone is known: the first event with it was read before."""
        session = a_session(last_event_id="1")
        session.received(b"id: 1\ndata: a\n\nid: 1\ndata: more\n\nid: 2\ndata: b\n\n")
        assert data_of(session) == ["more", "b"]

    def test_a_restored_place_is_known_from_then_on(self) -> None:
        """Also if the connection that repeats it breaks right behind it."""
        session = a_session(last_event_id="1")
        for _ in range(3):
            session.received(b"id: 1\ndata: a\n\n")
            session.failed(LOST)
            connect(session)
        session.received(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
        assert data_of(session) == ["b"]

    def test_a_connection_that_breaks_in_the_replay_keeps_the_place(self) -> None:
        """Neither a heartbeat nor half a line, nor an ID alone, takes the place back while it is behind the newest."""
        session = self.read_again(b"id: 7\ndata: a\n\nid: 7\ndata: b\n\n", b"id: 7\ndata: a\n\n: hi\n\nid: 6\n\n")
        session.received(b": hi\n")
        assert session.last_event_id == "7"
        session.failed(LOST)
        connect(session)
        session.received(b"id: 7\ndata: a\n\nid: 7\ndata: b\n\nid: 8\ndata: c\n\n")
        assert data_of(session) == ["a", "b", "c"]


class TestControls:
    """Events by which a server of this package speaks of the stream itself."""

    @pytest.mark.parametrize("reason", ["shutdown", "max_age"])
    def test_a_server_that_goes_is_asked_again(self, reason: str) -> None:
        """`stream-end` is no failure: the next attempt waits for what `retry` before it says."""
        session = a_session()
        session.received(b'retry: 4000\n\nevent: stream-end\ndata: {"reason":"%s"}\n\n' % reason.encode())
        assert session.step == Wait(5.0)
        assert (session.stats.failures, data_of(session)) == (0, [])
        assert session.changes[-1].reason == reason

    def test_a_limit_is_a_failure(self) -> None:
        """It is asked again, and told."""
        session = a_session()
        session.received(b'event: stream-end\ndata: {"reason":"limit"}\n\n')
        assert isinstance(session.step, Wait)
        assert session.stats.failures == 1

    def test_a_right_that_was_withdrawn_is_an_error(self) -> None:
        """`revoked` is not asked again."""
        session = a_session()
        session.received(b'data: a\n\nevent: stream-end\ndata: {"reason":"revoked"}\n\n')
        assert data_of(session) == ["a"]
        assert isinstance(stopped(session), StreamRevoked)

    def test_a_stream_that_is_complete_ends(self) -> None:
        """`completed` ends the reading in good order."""
        session = a_session()
        session.received(b'event: stream-end\ndata: {"reason":"completed"}\n\n')
        assert stopped(session) is None

    def test_an_early_end_is_told_where_nothing_is_repeated(self) -> None:
        """A request that is sent once has lost its rest when the server shuts down."""
        session = a_session(method="POST")
        session.received(b'event: stream-end\ndata: {"reason":"shutdown"}\n\n')
        assert isinstance(stopped(session), StreamTruncated)

    def test_a_failed_producer_is_a_failure(self) -> None:
        """`stream-error` is asked again by a reader that repeats, and an error for one that does not."""
        failing = b'event: stream-error\ndata: {"reason":"producer_error"}\n\n'
        session = a_session()
        session.received(failing)
        assert isinstance(session.step, Wait)
        session = a_session(reconnect="never")
        session.received(failing)
        assert isinstance(stopped(session), StreamFailed)

    @pytest.mark.parametrize(
        "data",
        ["bye", '{"reason":"because"}', '{"reason":["shutdown"]}', '{"why":"shutdown"}', "[]", "[" * 10000],
        ids=["text", "another reason", "a list", "another key", "an array", "too deep"],
    )
    @pytest.mark.parametrize("name", ["stream-end", "stream-error"])
    def test_an_event_of_that_name_and_another_form_is_an_event(self, name: str, data: str) -> None:
        """Another server may use the name for its own."""
        session = a_session(max_line_bytes=None, max_event_bytes=None)
        session.received(f"event: {name}\ndata: {data}\n\n".encode())
        assert taken(session) == [DecodedEvent(name, data, "")]
        assert isinstance(session.step, Read)


class TestEnd:
    """A body that ends in good order, and a stream that says itself where it ends."""

    def test_always_asks_again(self) -> None:
        """WHATWG 9.2.3: the end of a body is a reason to reconnect."""
        session = a_session()
        session.received(b"data: a\n\n")
        session.ended()
        assert (session.step, session.stats.failures) == (Wait(1.0), 0)

    @pytest.mark.parametrize("reconnect", ["faults", "opening", "never"])
    def test_others_are_done(self, reconnect: str) -> None:
        """Without it a complete body is the end."""
        session = a_session(reconnect=reconnect)
        session.received(b"data: a\n\n: the end\n")
        session.ended()
        assert stopped(session) is None

    @pytest.mark.parametrize("rest", [b"data: b\n", b"data: b", b"dat", b"event: x\n"])
    def test_an_event_that_is_cut_is_told(self, rest: bytes) -> None:
        """A complete body with an incomplete event has lost it: the standard drops it, and says nothing."""
        session = a_session(reconnect="never")
        session.received(b"data: a\n\n" + rest)
        session.ended()
        assert data_of(session) == ["a"]
        assert isinstance(stopped(session), StreamTruncated)

    def test_an_end_that_was_promised_has_to_come(self) -> None:
        """With `end` a body that is complete without it was truncated."""
        session = a_session(method="POST", end="[DONE]")
        session.received(b"data: a\n\n")
        session.ended()
        assert isinstance(stopped(session), StreamTruncated)

    def test_an_end_may_be_told_by_a_callable(self) -> None:
        """It is asked for each event, and the one it names is not given."""
        session = a_session(end=lambda event: event.event == "message_stop")
        session.received(b"data: a\n\nevent: message_stop\ndata: {}\n\n")
        assert (data_of(session), stopped(session)) == (["a"], None)

    def test_an_end_that_raises_loses_nothing_before_it(self) -> None:
        """The program's own error is raised behind the events that came before; the place is before the event."""

        def end(event: DecodedEvent) -> bool:
            return bool(1 / (event.data != "b"))

        session = a_session(end=lambda event: not end(event))
        session.received(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
        assert data_of(session) == ["a"]
        assert isinstance(stopped(session), ZeroDivisionError)
        assert session.last_event_id == "1"

    def test_204_is_the_end(self) -> None:
        """WHATWG 9.2.1: a server stops a client by 204."""
        session = a_session(opened=False)
        session.finished()
        assert stopped(session) is None
        assert session.take_error() is None


class TestFaults:
    """What is tried again, and when."""

    @pytest.mark.parametrize("error", [LOST, NO_CONNECTION, StreamStalled("silent"), refused(503)])
    def test_what_may_pass_is_tried_again(self, error: EventSourceError) -> None:
        """A network's fault and a busy server are no ends."""
        session = a_session()
        session.failed(error)
        assert isinstance(session.step, Wait)

    @pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 501])
    def test_what_will_not_pass_is_an_error_at_once(self, status: int) -> None:
        """WHATWG 9.2.3 fails the connection for any answer but an event stream; so do we for those that stay."""
        session = a_session(opened=False)
        error = refused(status)
        session.failed(error)
        assert stopped(session) is error

    def test_the_statuses_are_the_callers_choice(self) -> None:
        """`retry_statuses` replaces them."""
        session = a_session(retry_statuses=[404])
        session.failed(refused(404))
        assert isinstance(session.step, Wait)
        session.waited()
        session.failed(refused(503))
        assert isinstance(session.step, Stop)

    def test_delays_grow_to_their_cap(self) -> None:
        """The window doubles with each failure, and each delay is drawn from all of it."""
        session = a_session(reconnect_delay=1.0, max_delay=10.0)
        session.received(b"data: a\n\n")
        assert delays(session, [LOST, *[NO_CONNECTION] * 5]) == [1, 2, 4, 8, 10, 10]
        session = a_session(chance=0.25)
        session.received(b"data: a\n\n")
        assert delays(session, [LOST, NO_CONNECTION]) == [0.25, 0.5]

    def test_an_event_is_a_new_beginning(self) -> None:
        """Failures are counted from the last event."""
        session = a_session()
        delays(session, [LOST, NO_CONNECTION, NO_CONNECTION])
        connect(session)
        session.received(b"data: a\n\n")
        assert delays(session, [LOST]) == [1]

    def test_heartbeats_for_a_while_are_one_too(self) -> None:
        """A stream that was quiet for minutes before a hop cut it did not fail; one that was cut at once did."""
        clock = Clock()
        session = a_session(clock=clock)
        for seconds, delay in ((1.0, 2), (1.0, 4), (60.0, 1)):
            clock.now += seconds
            session.received(b": keep-alive\n\n")
            assert delays(session, [LOST]) == [delay]
            connect(session)

    def test_a_break_is_not_asked_for_again_at_once(self) -> None:
        """`retry: 0` is for streams that end in good order; one that breaks each time would be a busy loop."""
        session = a_session()
        session.received(b"retry: 0\ndata: a\n\n")
        session.ended()
        assert session.step == Wait(0)
        connect(session)
        session.received(b"data: a\n\n")
        assert delays(session, [LOST]) == [1]

    def test_a_connection_without_a_byte_is_a_failed_attempt(self) -> None:
        """A server that accepts and hangs up is asked less and less often, whether or not in good order."""
        session = a_session()
        found = []
        for _ in range(3):
            session.ended()
            assert isinstance(session.step, Wait)
            found.append(session.step.delay)
            connect(session)
        assert found == [2, 4, 8]

    def test_the_server_has_its_way_first(self) -> None:
        """What is drawn is added to the reconnection time, which lasts over connections."""
        session = a_session()
        session.received(b"retry: 5000\ndata: a\n\n")
        assert delays(session, [LOST, NO_CONNECTION]) == [6, 7]
        assert session.retry == 5000

    def test_retry_after_is_waited_for(self) -> None:
        """Whichever the server asks for by header or field, the longer time counts."""
        session = a_session()
        session.received(b"retry: 2000\ndata: a\n\n")
        assert delays(session, [refused(503, retry_after="20"), refused(503, retry_after="1")]) == [21, 4]

    def test_attempts_have_a_bound(self) -> None:
        """The error says how many failed, and why the last did."""
        session = a_session(max_attempts=3)
        session.received(b"data: a\n\n")
        assert len(delays(session, [LOST, NO_CONNECTION, NO_CONNECTION])) == 3
        session.waited()
        session.failed(NO_CONNECTION)
        error = stopped(session)
        assert isinstance(error, ReconnectFailed)
        assert (error.attempts, error.__cause__) == (3, NO_CONNECTION)
        assert "after 3 failed attempts (max_attempts=3)" in str(error)
        assert "refused" in str(error)

    def test_the_first_attempts_count(self) -> None:
        """A bound holds also before the stream was ever open."""
        session = a_session(max_attempts=1, opened=False)
        session.failed(NO_CONNECTION)
        assert isinstance(stopped(session), ReconnectFailed)

    def test_time_has_a_bound(self) -> None:
        """An attempt that would come too late is not waited for."""
        clock = Clock()
        session = a_session(reconnect_timeout=10, clock=clock)
        session.received(b"data: a\n\n")
        clock.now += 100  # in which the program was busy
        assert delays(session, [LOST]) == [1]
        clock.now += 8.5
        session.waited()
        session.failed(NO_CONNECTION)
        assert isinstance(stopped(session), ReconnectFailed)

    @pytest.mark.parametrize("error", [LOST, NO_CONNECTION, refused(503)])
    def test_never_means_never(self, error: EventSourceError) -> None:
        """The error itself is raised."""
        session = a_session(reconnect="never", opened=False)
        session.failed(error)
        assert stopped(session) is error

    def test_opening_is_tried_again_and_reading_is_not(self) -> None:
        """A model that is busy is asked again; one that has begun to answer is not asked twice."""
        session = a_session(method="POST", reconnect="opening", opened=False)
        assert len(delays(session, [refused(429), NO_CONNECTION])) == 2
        unanswered = ConnectFailed("the server may be at work", sent=True)
        session.failed(unanswered)
        assert stopped(session) is unanswered
        session = a_session(method="POST", reconnect="opening", opened=False)
        connect(session)
        session.failed(LOST)
        assert stopped(session) is LOST

    @pytest.mark.parametrize(
        ("stream", "kind"),
        [(b"data: " + b"x" * 1001, LineTooLong), (b"data: " + b"x" * 900 + b"\ndata: " + b"x" * 900, EventTooLarge)],
        ids=["line", "event"],
    )
    def test_a_bound_is_not_tried_again(self, stream: bytes, kind: type[UnbrokenError]) -> None:
        """What is too long would come again with each connection; it is told at once, behind the events before it."""
        session = a_session()
        session.received(b"data: a\n\n" + stream + b"\n\n")
        assert data_of(session) == ["a"]
        assert isinstance(stopped(session), kind)

    def test_a_bound_behind_the_end_is_none(self) -> None:
        """What comes after the event that ends the stream is not looked at."""
        session = a_session(end="[DONE]")
        session.received(b"data: [DONE]\n\ndata: " + b"x" * 1001)
        assert stopped(session) is None

    def test_nothing_happens_after_a_close(self) -> None:
        """Whatever a step that was under way tells then."""
        session = a_session()
        session.close()
        session.opened(STREAM)
        session.received(b"data: a\n\n")
        session.ended()
        session.failed(LOST)
        session.finished()
        session.interrupted()
        assert (stopped(session), len(session.ready), session.stats.connections) == (None, 0, 1)


class TestStates:
    """What is told of it."""

    def test_the_states_are_those_of_the_standard(self) -> None:
        """Each change is told with its reason, the delay and the place."""
        session = a_session(opened=False)
        assert session.state is ReadyState.CONNECTING
        connect(session)
        session.received(b"id: 1\ndata: a\n\n")
        session.failed(LOST)
        connect(session)
        session.close()
        session.close()
        assert [(change.state, change.error, change.delay, change.last_event_id) for change in session.changes] == [
            ("open", None, None, ""),
            ("connecting", LOST, 1.0, "1"),
            ("open", None, None, "1"),
            ("closed", None, None, ""),
        ]

    def test_an_error_is_raised_once(self) -> None:
        """After it the reading is over."""
        session = a_session(reconnect="never")
        session.failed(LOST)
        assert session.take_error() is LOST
        assert session.take_error() is None

    def test_what_is_counted(self) -> None:
        """Bytes, comments, events, connections and failures add up over connections."""
        session = a_session(gaps="ignore")
        first = b": hi\n\nid: 1\ndata: a\n\n"
        session.received(first)
        session.failed(LOST)
        connect(session)
        second = b': ho\n: he\n\nevent: stream-gap\ndata: {"reason":"trimmed","topic":"t","missed":3}\n\n'
        session.received(second)
        stats = session.stats
        assert (stats.connections, stats.failures, stats.events, stats.comments) == (2, 1, 1, 3)
        assert (stats.gaps, stats.duplicates, stats.bytes) == (1, 0, len(first + second))

    @pytest.mark.parametrize(
        ("told", "timeout"),
        [
            ("5", 15.0),
            ("0.5", 1.5),
            ("0.001", 0.75),
            ("", 45.0),
            ("0", 45.0),
            ("-1", 45.0),
            ("nan", 45.0),
            ("inf", 45.0),
            ("x", 45.0),
        ],
    )
    def test_the_watchdog_knows_the_heartbeat(self, told: str, timeout: float) -> None:
        """Three heartbeats that the server tells of, or the default."""
        session = a_session(opened=False)
        connect(session, Answer(200, {**STREAM.headers, "stream-heartbeat": told}))
        assert session.step == Read(timeout)

    def test_the_watchdog_is_the_callers(self) -> None:
        """A time of the caller's holds, and None is none."""
        assert a_session(idle_timeout=3).step == Read(3)
        assert a_session(idle_timeout=None).step == Read(None)

    def test_a_record_has_all_that_came(self) -> None:
        """Piece by piece, and nothing between two connections."""
        pieces: list[bytes] = []
        session = a_session(record=pieces.append)
        session.received(b"data: a\n")
        session.received(b"\n")
        session.failed(LOST)
        connect(session)
        session.received(b":\n")
        assert pieces == [b"data: a\n", b"\n", b"", b":\n"]

    def test_a_break_of_the_programs_own(self) -> None:
        """Ctrl-C in the middle of a read: it may go on by another connection, or it is told that it cannot."""
        session = a_session()
        session.interrupted()
        assert isinstance(session.step, Wait)
        session.waited()
        assert isinstance(session.step, Connect)
        session = a_session(reconnect="never")
        session.interrupted()
        assert isinstance(stopped(session), StreamTruncated)
        session.interrupted()
        session.close()
        assert isinstance(stopped(session), StreamTruncated)

    def test_a_break_while_it_waits_keeps_the_delay(self) -> None:
        """An `on_state` that raises does not make the next attempt come at once."""
        session = a_session()
        session.failed(refused(503, retry_after="60"))
        waiting = session.step
        session.interrupted()
        assert session.step == waiting
