"""Static analysis of code that streams: what will break, and what can be rewritten."""

from unbroken.errors import MissingExtraError

try:
    import libcst as _libcst  # noqa: F401 # asked for here, where its absence can be said in one line
except ImportError as exc:
    raise MissingExtraError("libcst", "cli") from exc

from unbroken.diagnose.source.check import CheckReport, SourceFinding, check, check_text
from unbroken.diagnose.source.config import CheckConfig, find_config
from unbroken.diagnose.source.fixing import Change, FixedFile, FixedText, FixReport, Leftover, fix, fix_text

__all__ = [
    "Change", "CheckConfig", "CheckReport", "FixReport", "FixedFile", "FixedText", "Leftover", "SourceFinding",
    "check", "check_text", "find_config", "fix", "fix_text",
]  # fmt: skip
