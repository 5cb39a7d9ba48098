"""One line for the end of a stream."""

from __future__ import annotations

import logging

from unbroken.observe.record import Cleanup, StreamRecord

__all__ = ["log_record", "logger"]

logger = logging.getLogger("unbroken")


def log_record(record: StreamRecord) -> None:
    """Log how a stream ended: a client's leaving is news (INFO), a cleanup that failed is a fault (ERROR).

    A producer's error is not repeated here: it is raised to the framework, which logs it.
    """
    logger.info(
        "%s %s %s: %s after %.1f s, %d events",
        record.client or "-",
        record.method,
        record.path,
        record.reason,
        record.duration,
        record.events,
    )
    if record.cleanup is Cleanup.FAILED:
        logger.error("the cleanup of %s %s failed", record.method, record.path, exc_info=record.error)
    elif record.cleanup is not Cleanup.FINISHED:
        logger.warning(
            "the generator of %s %s did not end when its stream had (%s): cleanup %s. It swallows exceptions, or waits "
            "where it cleans up; see cleanup_timeout",
            record.method,
            record.path,
            record.reason,
            record.cleanup,
        )
