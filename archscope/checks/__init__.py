"""Checks of a Report that give findings: conflicts, lint, expectations, budgets and baselines."""

from archscope.checks.expectations import non_expectation_errors, unmet_expectations

__all__ = ["non_expectation_errors", "unmet_expectations"]
