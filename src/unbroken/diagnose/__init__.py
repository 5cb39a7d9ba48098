"""What breaks event streams, and tools that find it: in logs, in source code, at a live endpoint.

The catalogue is here. The tools are `unbroken.diagnose.logs`, `.source` and `.endpoint`;
each returns plain values that name causes of the catalogue, and the command line renders them.
"""

from unbroken.diagnose.causes import CATALOGUE, Cause, Code, Severity, Skill, find_cause

__all__ = ["CATALOGUE", "Cause", "Code", "Severity", "Skill", "find_cause"]
