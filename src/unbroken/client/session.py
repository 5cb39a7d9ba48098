"""The life of a client without its I/O: what to do next, and what to make of what came.

    ┌──────────► Connect ──opened──► Read ──received──► Read …
    │               │                 │
    │             failed          ended, failed
    │               │                 │
    └── waited ── Wait ◄──────────────┴──► Stop

`EventSource` and `SyncEventSource` do the steps and tell how they went; all that is decided is decided here, once for
both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from unbroken.client.answer import Answer, told_heartbeat
from unbroken.client.controls import CONTROLS, ERROR, GAP, Gap, read_gap, read_reason
from unbroken.client.duplicates import INHERITED, Duplicates
from unbroken.client.options import DEFAULT_IDLE_TIMEOUT, Options
from unbroken.client.state import ReaderStats, ReadyState, StateChange
from unbroken.client.steps import Connect, Read, Step, Stop, Wait
from unbroken.errors import (
    CloseReason,
    ConnectFailed,
    EventSourceError,
    ReconnectFailed,
    StreamFailed,
    StreamGap,
    StreamRevoked,
    StreamTruncated,
    UnexpectedResponse,
)
from unbroken.wire import DecodedEvent, Decoder
from unbroken.wire.reconnection import reconnection_delay

__all__ = ["Session"]


LIVED_AFTER = 5.0
"""Seconds after which a connection that brings bytes, heartbeats for instance, was of use without an event."""


class Session:
    """What one `EventSource` knows and decides. It does no I/O, and is called by one task or thread at a time."""

    def __init__(
        self, url: str, options: Options, last_event_id: str, now: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self.url = url
        self.step: Step = Connect()
        self.state = ReadyState.CONNECTING
        self.ready = deque[DecodedEvent]()
        """Events that the program has not taken yet."""
        self.changes = deque[StateChange]()
        """What is to be told, in its order."""
        self.stats = ReaderStats()
        self.last_event_id = last_event_id
        """The place behind all that was taken in: what the next connection is asked to go on from."""
        self.retry: int | None = None
        """The reconnection time in milliseconds, None if the server told none."""
        self.attempts = 0
        """Connections that were tried."""
        self._taken_id = last_event_id
        self._options = options
        self._now = now
        self._chance = chance
        self._failures = 0
        self._opened_at = self._broke_at = now()
        self._lived = False
        """The present connection has been of use."""
        self._decoder = Decoder()
        self._duplicates = Duplicates(last_event_id) if options.drop_duplicates else None
        self._inherited_id = ""

    # What the program takes

    def take(self) -> DecodedEvent:
        """Return the next of the `ready` events.

        Raises:
            StreamGap: it is a gap, and gaps are to be raised.
        """
        event = self.ready[0]
        self._taken_id = event.last_event_id
        self.ready.popleft()  # last: what Ctrl-C breaks off comes once more, and not never
        if self._options.gaps == "raise" and isinstance(event, Gap):
            raise StreamGap(event)
        return event

    @property
    def handled_id(self) -> str:
        """The place behind all that the program has taken."""
        return self._taken_id if self.ready else self.last_event_id

    @property
    def is_complete(self) -> bool:
        """Whether it stopped in good order: the response is only to be finished."""
        return isinstance(self.step, Stop) and self.step.error is None

    def take_error(self) -> Exception | None:
        """Return why it stopped, the first time; None after that, after an end in good order, and before."""
        error = None
        if isinstance(self.step, Stop):
            error, self.step = self.step.error, Stop()
        return error

    # What came of a step

    def connecting(self) -> None:
        """Tell that a connection is being tried."""
        self.attempts += 1

    def opened(self, answer: Answer) -> None:
        """Tell that the server has answered with an event stream."""
        if isinstance(self.step, Stop):
            return  # closed meanwhile
        if self._options.record is not None and self.stats.connections:
            self._options.record(b"")
        self.stats.connections += 1
        self._opened_at = self._now()
        self._lived = False
        if self._duplicates is not None:
            self._duplicates.look()
        self._inherited_id = self.last_event_id
        self._decoder = Decoder(
            max_line_bytes=self._options.max_line_bytes,
            max_event_bytes=self._options.max_event_bytes,
            last_event_id=INHERITED if self._inherited_id else "",
        )
        self.step = Read(self._idle_timeout(answer))
        self._change(ReadyState.OPEN)

    def finished(self) -> None:
        """Tell that the server has answered that there is nothing more (204)."""
        if not isinstance(self.step, Stop):
            self._stop()

    def received(self, piece: bytes) -> None:
        """Tell of a piece of the body."""
        if not piece or isinstance(self.step, Stop):
            return
        self._note_life(piece)
        if not self.ready:
            self._taken_id = self.last_event_id  # an ID without an event may have moved it
        try:
            if self._options.record is not None:
                self._options.record(piece)
            before = self._decoder.last_event_id
            events = self._decoded(piece)
            self._take_all(events, before)
            if events and isinstance(self.step, Read):
                self._decoder.feed(b"")  # asks for a bound that was passed behind them: nothing may come after it
        except Exception as error:  # noqa: BLE001 - see below
            # A bound would be passed again after each reconnection. What `record` and `end` raise is the program's own,
            # and is raised behind the events before it.
            self._stop(error)

    def _decoded(self, piece: bytes) -> list[DecodedEvent]:
        decoder, comments = self._decoder, self._decoder.comments
        events = decoder.feed(piece)
        self.stats.comments += decoder.comments - comments
        # Before the events: a `stream-end` among them asks for the time that `retry` before it has set.
        self.retry = self.retry if decoder.retry is None else decoder.retry
        return events

    def ended(self) -> None:
        """Tell that the body has ended as HTTP has it: by its last chunk, its length, or the connection's end."""
        if isinstance(self.step, Stop):
            return
        if self._options.reconnect != "always" and self._decoder.is_within_event:
            self.failed(StreamTruncated(f"{self.url} ended within an event, whose data is dropped"))
        elif self._options.end is not None:
            self.failed(StreamTruncated(f"{self.url} ended without the event that was to end it"))
        elif self._options.reconnect == "always":
            self._reconnect(None)
        else:
            self._stop()

    def failed(self, error: EventSourceError) -> None:
        """Tell that there is no connection, or that it is of no use any more."""
        if isinstance(self.step, Stop):
            return
        self.stats.failures += 1
        if self._may_go_on and self._may_pass(error):
            self._reconnect(error, error.retry_after if isinstance(error, UnexpectedResponse) else 0.0)
        else:
            self._stop(error)

    def waited(self) -> None:
        """Tell that the time before the next attempt has passed."""
        self.step = Connect()

    def interrupted(self) -> None:
        """Tell that the program itself broke off a step, and may want to go on later."""
        if isinstance(self.step, Stop | Wait):
            return
        if not self._may_go_on:
            policy = self._options.reconnect
            self._stop(StreamTruncated(f"{self.url}: the program broke off the reading, and reconnect is {policy!r}"))
        else:
            self.step = Wait(0)
            if self.state is ReadyState.OPEN:
                self._change(ReadyState.CONNECTING, None, 0.0)

    def close(self) -> None:
        """Tell that the program wants nothing more."""
        self.last_event_id = self.handled_id  # what was not taken was not handled
        self.ready.clear()
        if not isinstance(self.step, Stop):
            self._stop()

    # What an event is

    def _take_all(self, events: Sequence[DecodedEvent], before: str) -> None:
        for event in events:
            self._take_in(event)
            if not isinstance(self.step, Read):
                return  # it was the last one: the place is here, and not behind what is left
        place = self._decoder.last_event_id
        is_replay = self._duplicates is not None and self._duplicates.is_looking
        if place != (events[-1].last_event_id if events else before) and not is_replay:
            self.last_event_id = place  # of a block without data

    def _take_in(self, event: DecodedEvent) -> None:
        if event.event in CONTROLS and self._take_control(event):
            return
        if self._duplicates is not None and self._duplicates.is_looking and self._duplicates.is_duplicate(event):
            self.stats.duplicates += 1
            return
        event = self._placed(event)
        if self._options.end is not None and self._options.end(event):
            self.last_event_id = event.last_event_id
            self._stop()
            return
        # In this order: what Ctrl-C breaks off comes once more, and not never.
        self.ready.append(event)
        self.last_event_id = event.last_event_id
        if self._duplicates is not None:
            self._duplicates.remember(event)
        self.stats.events += 1
        self._has_lived()

    def _take_control(self, event: DecodedEvent) -> bool:
        if event.event == GAP:
            return self._take_gap(event)
        reason = read_reason(event)
        if reason is None:
            return False
        self.last_event_id = self._placed(event).last_event_id
        if event.event == ERROR:
            self.failed(StreamFailed(f"{self.url}: the server says that what produces the stream has failed"))
        else:
            self._end_for(reason)
        return True

    def _take_gap(self, event: DecodedEvent) -> bool:
        gap = read_gap(self._placed(event))
        if gap is None:
            return False
        self.stats.gaps += 1
        if self._options.gaps != "ignore":
            self.ready.append(gap)
        return True

    def _end_for(self, reason: CloseReason) -> None:
        match reason:
            case CloseReason.COMPLETED:
                self._stop()
            case CloseReason.REVOKED:
                self._stop(StreamRevoked(f"{self.url}: the server has withdrawn the right to read this stream"))
            case _ if not self._may_go_on:
                self.failed(StreamTruncated(f"{self.url}: the server ended the stream before its end ({reason})"))
            case CloseReason.LIMIT:
                self.failed(StreamTruncated(f"{self.url}: a limit of the server was reached"))
            case _:
                self._has_lived()  # it said how to go on
                self._reconnect(None, reason=reason)

    def _placed(self, event: DecodedEvent) -> DecodedEvent:
        # Browsers keep the last event ID over a reconnection; the standard's text would let go of it.
        if event.last_event_id != INHERITED:
            return event
        return DecodedEvent(event.event, event.data, self._inherited_id)

    # What follows

    def _idle_timeout(self, answer: Answer) -> float | None:
        if self._options.idle_timeout != "auto":
            return self._options.idle_timeout
        told = told_heartbeat(answer.headers)
        return DEFAULT_IDLE_TIMEOUT if told is None else 3 * told

    def _note_life(self, piece: bytes) -> None:
        self.stats.bytes += len(piece)
        if self._now() - self._opened_at >= LIVED_AFTER:
            self._has_lived()

    def _has_lived(self) -> None:
        # An event, or some time: who accepts and hangs up at once is to be asked less and less often.
        self._lived = True
        self._failures = 0

    @property
    def _may_go_on(self) -> bool:
        """Whether there may be another connection."""
        policy = self._options.reconnect
        return policy in ("always", "faults") or (policy == "opening" and not self.stats.connections)

    def _may_pass(self, error: EventSourceError) -> bool:
        """Whether a later attempt may go better, and does not do twice what is to be done once."""
        if isinstance(error, UnexpectedResponse):
            return error.status in self._options.retry_statuses
        return not (self._options.reconnect == "opening" and isinstance(error, ConnectFailed) and error.sent)

    def _reconnect(
        self, error: EventSourceError | None, at_least: float = 0.0, reason: CloseReason | None = None
    ) -> None:
        if self._lived:
            self._broke_at = self._now()
        else:
            self._failures += 1
        self._lived = False
        _drop_frames(error)
        delay = self._delay(at_least, is_fault=error is not None)
        given_up = self._given_up(error, delay)
        if given_up is not None:
            self._stop(given_up)
            return
        self.step = Wait(delay)
        self._change(ReadyState.CONNECTING, error, delay, reason)

    def _delay(self, at_least: float, *, is_fault: bool) -> float:
        return reconnection_delay(
            self._failures,
            None if self.retry is None else self.retry / 1000,
            base=self._options.reconnect_delay,
            cap=self._options.max_delay,
            chance=self._chance(),
            at_least=at_least,
            is_fault=is_fault,
        )

    def _given_up(self, error: EventSourceError | None, delay: float) -> ReconnectFailed | None:
        most, timeout = self._options.max_attempts, self._options.reconnect_timeout
        if most is not None and self._failures >= most:
            limit = f"max_attempts={most}"
        elif timeout is not None and self._failures and self._now() + delay - self._broke_at > timeout:
            limit = f"reconnect_timeout={timeout:g}"
        else:
            return None
        last = "the stream ended" if error is None else str(error).removeprefix(f"{self.url}: ")
        attempts = f"{self._failures} failed attempt{'' if self._failures == 1 else 's'}"
        failed = ReconnectFailed(
            f"{self.url}: given up after {attempts} ({limit}); the last: {last}", attempts=self._failures
        )
        failed.__cause__ = error
        return failed

    def _stop(self, error: Exception | None = None) -> None:
        self.step = Stop(error)
        self._change(ReadyState.CLOSED, error)

    def _change(
        self,
        state: ReadyState,
        error: Exception | None = None,
        delay: float | None = None,
        reason: CloseReason | None = None,
    ) -> None:
        self.state = state
        self.changes.append(
            StateChange(
                state=state,
                url=self.url,
                error=error,
                reason=reason,
                failures=self._failures,
                delay=delay,
                last_event_id=self.last_event_id,
            )
        )


def _drop_frames(error: BaseException | None) -> None:
    # It is told, and not raised: who keeps it, a log's handler for instance, shall not keep a response and its buffers.
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
