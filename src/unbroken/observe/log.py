"""One line for the end of a stream."""

from __future__ import annotations

import logging

from unbroken.observe.observer import Finding, Observer, Refusal
from unbroken.observe.record import Cleanup, StreamRecord
from unbroken.observe.text import printable

__all__ = ["LoggingObserver", "logger"]

logger = logging.getLogger("unbroken")


class LoggingObserver(Observer):
    """Logs how streams end: a client's leaving is news (INFO), a cleanup that failed is a fault (ERROR).

    It is attached from the start; `detach(default_log)` silences it. Each line
    of a stream's end carries the whole record as plain data in its attribute
    `stream`, for formatters that write JSON. What a client wrote is escaped in
    the line and cut at 500 characters; in `stream` it is as it came.

    Args:
        logger: Where to log; `unbroken` by default.
    """

    def __init__(self, logger: logging.Logger = logger) -> None:
        self._logger = logger

    def closed(self, record: StreamRecord) -> None:
        """Log the end. A producer's error is not repeated: it is raised to the framework, which logs it."""
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info(
                "%s %s %s: %s after %.1f s, %d events",
                *_request(record),
                record.reason,
                record.duration,
                record.events,
                extra={"stream": record.as_dict()},
            )
        if record.cleanup is Cleanup.FAILED:
            self._logger.error("the cleanup of %s %s failed", *_request(record)[1:], exc_info=record.error)
        elif record.cleanup is not Cleanup.FINISHED:
            self._logger.warning(
                "the producer of %s %s did not end when its stream had (%s): cleanup %s. It swallows exceptions, or "
                "waits where it cleans up; see cleanup_timeout",
                *_request(record)[1:],
                record.reason,
                record.cleanup,
            )

    def refused(self, refusal: Refusal) -> None:
        """Log a refusal (WARNING): somebody does not get what they asked for."""
        self._logger.warning(
            "%s %s %s: refused, %d streams are open and limit %r allows no more",
            *_request(refusal),
            refusal.allowed,
            refusal.limit,
        )

    def found(self, finding: Finding) -> None:
        """Log what cuts streams (WARNING), and what to change."""
        self._logger.warning(
            "%d of the last %d streams%s ended at %s %.0f s: %s. %s",
            finding.streams,
            finding.looked_at,
            f" of {printable(finding.route)}" if finding.route else "",
            "a silence of" if finding.counts == "silence" else "an age of",
            finding.seconds,
            finding.likely,
            finding.advice,
        )


def _request(told: StreamRecord | Refusal) -> tuple[str, str, str]:
    """Return its client, method and path, for a line."""
    return printable(told.client or "-"), printable(told.method), printable(told.path)
