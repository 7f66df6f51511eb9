"""Judgement on a Report: what a run found out, what was expected against what is → findings. Silence is success."""

from archscope.checks.conflicts import conflicts
from archscope.checks.expectations import other_errors, unmet

__all__ = ["conflicts", "other_errors", "unmet"]
