"""One line for the end of a stream."""

from __future__ import annotations

import logging

from unbroken.observe.observer import Finding, Observer, Refusal
from unbroken.observe.record import Cleanup, StreamRecord

__all__ = ["LoggingObserver", "logger"]

logger = logging.getLogger("unbroken")


class LoggingObserver(Observer):
    """Logs how streams end: a client's leaving is news (INFO), a cleanup that failed is a fault (ERROR).

    It is attached from the start; `detach(default_log)` silences it. Each line
    of a stream's end carries the whole record as plain data in its attribute
    `stream`, for formatters that write JSON.

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
                record.client or "-",
                record.method,
                record.path,
                record.reason,
                record.duration,
                record.events,
                extra={"stream": record.as_dict()},
            )
        if record.cleanup is Cleanup.FAILED:
            self._logger.error("the cleanup of %s %s failed", record.method, record.path, exc_info=record.error)
        elif record.cleanup is not Cleanup.FINISHED:
            self._logger.warning(
                "the producer of %s %s did not end when its stream had (%s): cleanup %s. It swallows exceptions, or "
                "waits where it cleans up; see cleanup_timeout",
                record.method,
                record.path,
                record.reason,
                record.cleanup,
            )

    def refused(self, refusal: Refusal) -> None:
        """Log a refusal (WARNING): somebody does not get what they asked for."""
        self._logger.warning(
            "%s %s %s: refused, %d streams are open and limit %r allows no more",
            refusal.client or "-",
            refusal.method,
            refusal.path,
            refusal.allowed,
            refusal.limit,
        )

    def found(self, finding: Finding) -> None:
        """Log what cuts streams (WARNING), and what to change."""
        self._logger.warning(
            "%d of the last %d streams%s ended at %s %.0f s: %s. %s",
            finding.streams,
            finding.looked_at,
            f" of {finding.route}" if finding.route else "",
            "a silence of" if finding.counts == "silence" else "an age of",
            finding.seconds,
            finding.likely,
            finding.advice,
        )
