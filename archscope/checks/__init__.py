"""Judgement on a Report: what a run found out, what was expected against what is → findings. Silence is success."""

from archscope.checks.conflicts import conflicts
from archscope.checks.expectations import unmet

__all__ = ["conflicts", "unmet"]
