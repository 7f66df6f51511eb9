"""Comparison of a compiled spec with its expectations, before it is run."""

from __future__ import annotations

from collections.abc import Iterable

from archscope.analysis.plan_costs import PlanCosts
from archscope.compile import Plan, outline_plan
from archscope.fixes.edit_verdict import CompiledNet
from archscope.spec.spec_types import Expectation


def compiled_net(plan: Plan) -> CompiledNet:
    """Return the data of a plan by which edits are judged."""
    warnings = tuple((rule, problem.span) for rule, problem in plan.warnings)
    return CompiledNet(outline_plan(plan), plan.mismatches, warnings, plan.parameter_count)


def meets_sizes(plan: Plan, expected: Expectation) -> bool:
    """Return whether a compiled net meets an expectation of a shape or of parameters; True for MACs, which are not
    known yet.
    """
    if expected.met is not None:
        return expected.met
    return expected.key != "params" or bool(expected.path) or is_within(expected, plan.parameter_count)


def meets_macs(costs: PlanCosts, expected: Expectation) -> bool:
    """Return whether the MACs of a compiled net are the expected ones; True for expectations of anything else."""
    macs = costs.macs(expected.path) if expected.key == "macs" else None
    if expected.key != "macs" or (macs is None and bool(expected.path)):
        return True
    return macs is not None and is_within(expected, macs)


def is_within(expected: Expectation, figure: int) -> bool:
    """Return whether a figure lies in the expected range."""
    least, most = expected.least, expected.most
    return (least is None or figure >= least) and (most is None or figure <= most)


def has_expected_macs(expected: Iterable[Expectation]) -> bool:
    """Return whether a file states the MACs of its net."""
    return any(e.key == "macs" and not e.path for e in expected)


def has_exact_macs(expected: Iterable[Expectation]) -> bool:
    """Return whether a file states the exact MACs of its net; an edit that meets them hardly does so by chance."""
    return any(e.key == "macs" and not e.path and e.least == e.most for e in expected)
