"""Judgement on a Report: what a run found out, what was expected against what is → findings. Silence is success."""

from archscope.checks.expectations import non_expectation_errors, unmet_expectations

__all__ = ["non_expectation_errors", "unmet_expectations"]
