"""Whether a compiled spec is what its file expects, before anything of it is recorded; and the spec as it is judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from archscope.api.plan_costs import PlanCosts
from archscope.spec.model import Expectation

if TYPE_CHECKING:
    from archscope.checks.conflicts.edit_verdict import CompiledNet
    from archscope.compile import Plan


def compiled_net(plan: Plan) -> CompiledNet:
    """What an edit is judged by."""
    from archscope.checks.conflicts.edit_verdict import CompiledNet
    from archscope.compile import outline_plan

    warnings = tuple((rule, problem.span) for rule, problem in plan.warnings)
    return CompiledNet(outline_plan(plan), plan.mismatches, warnings, plan.parameter_count)


def meets_sizes(plan: Plan, expected: Expectation) -> bool:
    """Whether a compiled net meets an expectation of a shape, or of its parameters; MACs are not known yet."""
    if expected.met is not None:
        return expected.met
    return expected.key != "params" or bool(expected.path) or is_within(expected, plan.parameter_count)


def meets_macs(costs: PlanCosts, expected: Expectation) -> bool:
    """Whether the MACs of a compiled net are those that are expected; True for expectations of anything else."""
    macs = costs.macs(expected.path) if expected.key == "macs" else None
    if expected.key != "macs" or (macs is None and bool(expected.path)):
        return True
    return macs is not None and is_within(expected, macs)


def is_within(expected: Expectation, figure: int) -> bool:
    """Whether a figure lies in what is expected of it."""
    least, most = expected.least, expected.most
    return (least is None or figure >= least) and (most is None or figure <= most)


def has_expected_macs(expected: Iterable[Expectation]) -> bool:
    """Whether a file says how many MACs its net has."""
    return any(e.key == "macs" and not e.path for e in expected)


def has_exact_macs(expected: Iterable[Expectation]) -> bool:
    """Whether it says so to the last one: an edit with which that holds is hardly there by chance."""
    return any(e.key == "macs" and not e.path and e.least == e.most for e in expected)
