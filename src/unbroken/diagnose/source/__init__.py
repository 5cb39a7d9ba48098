"""Static analysis of code that streams: what will break, and what can be rewritten."""

from unbroken.diagnose.source.check import CheckReport, SourceFinding, check, check_text
from unbroken.diagnose.source.config import CheckConfig, find_config

__all__ = ["CheckConfig", "CheckReport", "SourceFinding", "check", "check_text", "find_config"]
