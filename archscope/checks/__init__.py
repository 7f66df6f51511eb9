"""Judgement on a Report: what was expected against what is → findings. Silence is success."""

from archscope.checks.expectations import unmet

__all__ = ["unmet"]
