"""A live endpoint, probed as a careful client would, and judged.

examination = asyncio.run(examine("https://example.org/events", Options(thorough=True)))
for verdict in examination.verdicts:
    print(verdict.check, verdict.outcome, verdict.saw)
"""

from unbroken.diagnose.endpoint.checks import CHECKS, Check
from unbroken.diagnose.endpoint.examine import examine, plan
from unbroken.diagnose.endpoint.options import Options
from unbroken.diagnose.endpoint.verdict import Examination, Outcome, PlannedRequest, Progress, SentRequest, Verdict

__all__ = [
    "CHECKS",
    "Check",
    "Examination",
    "Options",
    "Outcome",
    "PlannedRequest",
    "Progress",
    "SentRequest",
    "Verdict",
    "examine",
    "plan",
]
