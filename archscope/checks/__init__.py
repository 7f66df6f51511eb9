"""Judgement on a Report: what a run found out, what was expected against what is → findings. Silence is success."""

from archscope.checks.expectations import other_errors, unmet

__all__ = ["other_errors", "unmet"]
