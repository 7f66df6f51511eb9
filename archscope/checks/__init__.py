"""Checks of a Report that give findings: lint, expectations, budgets, baselines, and other sizes of the input."""

from archscope.checks.expectations import non_expectation_errors, unmet_expectations

__all__ = ["non_expectation_errors", "unmet_expectations"]
