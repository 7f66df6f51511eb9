"""Checks of `expect:` entries of a spec: a Finding for each expectation that a Report does not meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from archscope import units
from archscope.checks.rules import RULES
from archscope.report import Finding, Report, Total
from archscope.spec.spec_types import Expectation

EXPECTATION_CODES = frozenset(rule.code for rule in RULES if rule.family == "expectation")


def non_expectation_errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the errors that are not unmet expectations: shapes that do not fit, a forward pass that failed."""
    return [finding for finding in findings if finding.level == "error" and finding.rule not in EXPECTATION_CODES]


def unmet_expectations(expected: Iterable[Expectation], report: Report) -> tuple[Finding, ...]:
    """Return findings for the expectations that the report does not meet, in the order given.

    After a shape conflict they are `likely` consequences of it, and MACs that are unknown because of it are not judged.
    """
    found = (_check_expectation(e, report) for e in expected)
    return tuple(replace(finding, likely=bool(report.trace.mismatches)) for finding in found if finding)


def _check_expectation(expected: Expectation, report: Report) -> Finding | None:
    if expected.key in ("shape", "preserves"):
        if expected.met:
            return None
        word = {"shape": "shape", "preserves": "to preserve"}[expected.key]
        return _expectation_finding(expected, f"expected {word} {expected.wanted}, got {expected.got}")
    path = expected.path
    below = (row.total for row in report.rows if row.path == path or row.path.startswith(f"{path}."))
    total = Total.of(below) if path else report.total
    if expected.key == "macs" and total.partial:
        if report.trace.mismatches:
            return None
        return _expectation_finding(expected, f"{total.unpriced} operations have no price, so the MACs are not known")
    number = total.params if expected.key == "params" else total.known
    too_few = expected.least is not None and number < expected.least
    too_many = expected.most is not None and number > expected.most
    if not too_few and not too_many:
        return None
    name = {"params": "parameters", "macs": "MACs"}[expected.key]
    return _expectation_finding(expected, f"expected {expected.wanted} {name}, got {units.format_count(number)}")


def _expectation_finding(expected: Expectation, message: str) -> Finding:
    return Finding(f"expect-{expected.key}", "error", message, expected.path, expected.span)
