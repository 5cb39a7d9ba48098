"""Rewrites what is mechanical about breaking streams, and says what it leaves."""

from unbroken.diagnose.source.fixing.fix import fix, fix_text
from unbroken.diagnose.source.fixing.report import Change, FixedFile, FixedText, FixReport, Leftover

__all__ = ["Change", "FixReport", "FixedFile", "FixedText", "Leftover", "fix", "fix_text"]
