"""Every exception of the package, and the words for how a stream ends.

UnbrokenError
├─ EncodeError (ValueError)             you gave a value that would break the wire format
├─ EventStreamError (ValueError)        the peer's bytes are beyond a bound: LineTooLong, EventTooLarge
├─ ConfigurationError (ValueError)      an argument, or where a thing is used, cannot work
│  └─ TopicNameError                    a topic cannot be called so
├─ UnknownCauseError (LookupError)      the catalogue has no cause of that name; the text names those that come near
├─ DiagnosisError                       what was to be looked at cannot be read
├─ LogError                             a log of topics did not do what was asked:
│  ├─ LogUnavailable                    it cannot be reached, or its place cannot be opened
│  ├─ OutboxFull                        no room for another event that is to be published soon
│  ├─ TopicClosed                       nothing can be appended to the topic any more
│  └─ Fenced                            another producer has taken the topic over
├─ RunError                             a run did not do what was asked:
│  ├─ RunNotFound                       there is none of that id, or it is another owner's
│  ├─ RunConflict                       one of that id, or in that group, is there already
│  ├─ TooManyRuns                       its owner has as many as he may
│  ├─ RunLimitExceeded                  it has sent more than it may
│  ├─ RunsClosing                       this process is about to end, and starts none
│  └─ RunEnded                          it takes no more: it has ended, or another process goes on with it
├─ EventSourceError                     a client cannot get an event stream, or not go on with it:
│  ├─ ConnectFailed                     no connection, or no answer in time
│  ├─ UnexpectedResponse                the answer is no event stream; `.status`, `.body`, `.retry_after`
│  ├─ StreamTruncated                   it ended before its end
│  ├─ StreamStalled                     not a byte came within `idle_timeout`
│  ├─ StreamFailed                      the server said that its producer failed
│  ├─ StreamRevoked                     the server said that the right to read was withdrawn
│  └─ ReconnectFailed                   no more attempts are to be made; its cause is the last one's error
├─ EventDataError (ValueError)          an event's data is not what it was to be read as; `.event`
├─ StreamGap                            events that a reader has not seen are gone; `.gap` says which
└─ MissingExtraError (ImportError)      an optional library is absent; the text names the extra

ConnectionResetError
└─ StreamClosed                         the stream has ended; `.reason` says why
   ├─ ClientDisconnected                client_closed, write_failed, send_timeout
   └─ ServerClosing                     shutdown, max_age, revoked, limit
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

__all__ = [
    "ClientDisconnected",
    "CloseReason",
    "ConfigurationError",
    "ConnectFailed",
    "DiagnosisError",
    "EncodeError",
    "EventDataError",
    "EventSourceError",
    "EventStreamError",
    "EventTooLarge",
    "Fenced",
    "LineTooLong",
    "LogError",
    "LogUnavailable",
    "MissingExtraError",
    "OutboxFull",
    "ReconnectFailed",
    "RunConflict",
    "RunEnded",
    "RunError",
    "RunLimitExceeded",
    "RunNotFound",
    "RunsClosing",
    "ServerClosing",
    "StreamClosed",
    "StreamFailed",
    "StreamGap",
    "StreamRevoked",
    "StreamStalled",
    "StreamTruncated",
    "TooManyRuns",
    "TopicClosed",
    "TopicNameError",
    "UnbrokenError",
    "UnbrokenWarning",
    "UnexpectedResponse",
    "UnknownCauseError",
]


class CloseReason(StrEnum):
    """Why a stream ended. A stream ends exactly once, with exactly one of these."""

    COMPLETED = "completed"
    """The producer finished and the whole body was handed to the server."""
    PRODUCER_ERROR = "producer_error"
    """The producer raised; the body is visibly incomplete."""
    CLIENT_CLOSED = "client_closed"
    """The server said that the client went away."""
    WRITE_FAILED = "write_failed"
    """Writing raised, or the connection was found dead underneath the server."""
    SEND_TIMEOUT = "send_timeout"
    """One write took longer than `send_timeout`: the client stopped reading."""
    MAX_AGE = "max_age"
    """The stream reached its `max_age`."""
    SHUTDOWN = "shutdown"
    """The server is stopping, or something around the response cancelled it."""
    REVOKED = "revoked"
    """The right to read was withdrawn."""
    LIMIT = "limit"
    """A limit of the server was reached."""


class UnbrokenError(Exception):
    """The root of the errors that say something was used or sent wrongly."""


class UnbrokenWarning(UserWarning):
    """Something works, but most likely not as it was meant."""


class EncodeError(UnbrokenError, ValueError):
    """A value cannot be written as an event without breaking the stream's framing."""


class EventStreamError(UnbrokenError, ValueError):
    """The bytes received are beyond a bound of the decoder."""


class LineTooLong(EventStreamError):
    """A line of the stream is longer than the decoder's `max_line_bytes`."""


class EventTooLarge(EventStreamError):
    """An event's data is larger than the decoder's `max_event_bytes`."""


class ConfigurationError(UnbrokenError, ValueError):
    """An argument is out of its range, or a thing is used where it cannot work."""


class TopicNameError(ConfigurationError):
    """A topic cannot be called so. Where the name comes from a URL, answer 404."""


class UnknownCauseError(UnbrokenError, LookupError):
    """The catalogue has no cause of this name."""

    def __init__(self, id: str, near: tuple[str, ...] = ()) -> None:  # noqa: A002 # the field's own name
        nearest = f"did you mean {' or '.join(near)}? " if near else ""
        super().__init__(f"there is no cause {id!r}: {nearest}`unbroken explain --list` shows all")
        self.id = id
        self.near = near


class DiagnosisError(UnbrokenError):
    """What was to be looked at cannot be read: a path that is not there, a configuration that is none."""


class LogError(UnbrokenError):
    """A log of topics did not do what was asked of it."""


class LogUnavailable(LogError):
    """The log cannot be reached now, or its place cannot be opened. What was being appended may be there, or not."""


class OutboxFull(LogError):
    """Nothing was taken: as many events wait to be published as the hub's outbox has room for."""


class TopicClosed(LogError):
    """The topic was closed by its last event: nothing can be appended to it any more."""


class Fenced(LogError):
    """A producer with a higher fence has taken the topic over: this one must stop."""


class RunError(UnbrokenError):
    """A run did not do what was asked of it."""


class RunNotFound(RunError, LookupError):
    """There is no run of this id, or it is another owner's: which of both is not said. Answer 404."""


class RunConflict(RunError):
    """A run of this id, or in this group, is there already. Answer 409.

    Attributes:
        id: The id of the run that is there; empty where it is another owner's.
    """

    def __init__(self, text: str, *, id: str = "") -> None:  # noqa: A002 # the field's own name
        super().__init__(text)
        self.id = id


class TooManyRuns(RunError):
    """As many runs of this owner are running as `max_per_owner` lets him have. Answer 429."""


class RunsClosing(RunError):
    """This process is shutting down, and starts no more runs: another one does. Answer 503."""


class RunLimitExceeded(RunError):
    """A run has sent as many events or bytes as it may. It ends with `error`, and the reason `limit`."""


class RunEnded(RunError):
    """Nothing more can be sent: the run has ended, or another process goes on with it. The producer should return."""


class EventSourceError(UnbrokenError):
    """A client cannot get an event stream, or cannot go on with it."""


class ConnectFailed(EventSourceError):
    """There is no connection to the server, or it did not answer in time.

    Attributes:
        sent: Whether the server may have got the request.
    """

    def __init__(self, text: str, *, sent: bool = False) -> None:
        super().__init__(text)
        self.sent = sent


class UnexpectedResponse(EventSourceError):
    """The server answered with something that is no event stream.

    Attributes:
        status: The status code.
        headers: The headers; names in lower case.
        body: The first bytes of the body, at most 64 KiB: mostly what the server says of it.
        retry_after: Seconds that the server asks for before another attempt (`Retry-After`); 0 if for none.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes = b"",
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers
        self.body = body
        self.retry_after = retry_after


class StreamTruncated(EventSourceError):
    """The stream ended before its end: in mid-body, within an event, or without the event that ends it."""


class StreamStalled(EventSourceError, TimeoutError):
    """Not a byte came within `idle_timeout`, not even a heartbeat: the connection is taken for dead."""


class StreamFailed(EventSourceError):
    """The server said, with `stream-error`, that what produces the stream has failed."""


class StreamRevoked(EventSourceError):
    """The server said, with `stream-end`, that the right to read the stream was withdrawn."""


class ReconnectFailed(EventSourceError):
    """As many attempts, or as much time, as were given did not bring the stream back. The cause is the last error.

    Attributes:
        attempts: How many attempts failed, one after the other.
    """

    def __init__(self, text: str, *, attempts: int) -> None:
        super().__init__(text)
        self.attempts = attempts


class EventDataError(UnbrokenError, ValueError):
    """An event's data is not what it was to be read as: no JSON, or not of the model."""

    def __init__(self, text: str, event: object = None) -> None:
        super().__init__(text)
        self.event = event


class StreamGap(UnbrokenError):
    """Between what a reader of topics has seen and what comes next, events are gone. Reading may go on.

    Attributes:
        gap: An `unbroken.hub.Gap`, or at a client an `unbroken.client.Gap`: which topic, from where to where, why,
            and how many where that is known.
    """

    def __init__(self, gap: object) -> None:
        super().__init__(f"events are gone: {gap}")
        self.gap = gap


class MissingExtraError(UnbrokenError, ImportError):
    """A library that this part of the package needs is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed, and this needs it: pip install 'unbroken[{extra}]'")
        self.library = library
        self.extra = extra


class StreamClosed(ConnectionResetError):
    """The stream has ended, for `reason`.

    It is a `ConnectionResetError`, so that the `except` which people write
    around a `yield` does what they expect of it.
    """

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(_TEXTS[reason])
        self.reason = reason


class ClientDisconnected(StreamClosed):
    """The client is gone, or takes nothing any more: what is yielded now is discarded."""


class ServerClosing(StreamClosed):
    """The server ends the stream: what is yielded within the grace is still sent, as a farewell."""


_TEXTS = {
    CloseReason.COMPLETED: "the stream was completed",
    CloseReason.PRODUCER_ERROR: "the stream's producer failed",
    CloseReason.CLIENT_CLOSED: "the client closed the connection",
    CloseReason.WRITE_FAILED: "the connection to the client is broken",
    CloseReason.SEND_TIMEOUT: "the client stopped reading",
    CloseReason.MAX_AGE: "the stream reached its max_age",
    CloseReason.SHUTDOWN: "the server is shutting down",
    CloseReason.REVOKED: "the right to read this stream was revoked",
    CloseReason.LIMIT: "a limit of the server was reached",
}
