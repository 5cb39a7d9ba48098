"""`explain`: find in logs what breaks event streams, and say which cause it is."""

from unbroken.diagnose.logs.explaining import explain
from unbroken.diagnose.logs.signature import Signature
from unbroken.diagnose.logs.signatures import SIGNATURES
from unbroken.diagnose.logs.values import Evidence, Explanation, LogFinding

__all__ = ["SIGNATURES", "Evidence", "Explanation", "LogFinding", "Signature", "explain"]
