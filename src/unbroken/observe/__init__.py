"""What happened to the streams: one record for each."""

from unbroken.observe.log import log_record, logger
from unbroken.observe.record import Cleanup, StreamRecord

__all__ = ["Cleanup", "StreamRecord", "log_record", "logger"]
