"""The effect of an edit on the other variants of a spec: whether one that was valid fails, or its steps change.

SpecSession, edit → each other variant, compiled with and without the edit → EditOutcome
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from archscope.analysis.plan_costs import plan_costs
from archscope.analysis.spec_session import SpecSession
from archscope.compile import Plan
from archscope.errors import ArchscopeError
from archscope.fixes.edit_verdict import find_step_changes
from archscope.fixes.expected_figures import compiled_net, meets_macs, meets_sizes
from archscope.fixes.fix_search import describe_step_change
from archscope.fixes.proposals import Proposal
from archscope.fixes.step_changes import LineMap, StepChange

Edit = tuple[str, str]
"""A file, and the text that replaces its content."""
VARIANT_SAMPLE = 8
"""The most other variants on which an edit is tried in a search; the fixes that are offered are tried on all."""


@dataclass(frozen=True)
class EditOutcome:
    """The effect of an edit on other variants.

    breaks: a valid variant becomes invalid. wrong: the number of invalid variants that stay invalid. changes: the
    changed steps of valid variants, each with its variant.
    """

    breaks: bool = False
    wrong: int = 0
    changes: tuple[tuple[str, StepChange], ...] = ()


MAX_KEPT_PLANS = 256
"""The most plans that are kept: several variants often try the same edits."""


@dataclass
class OtherVariants:
    """The other variants of one spec. plans: the plan of each valid one; None for an invalid one."""

    session: SpecSession
    plans: dict[tuple[str, Edit | None], Plan | None] = field(default_factory=dict)

    def edit_outcome(self, target: str, proposal: Proposal, lines: LineMap, *, every: bool = False) -> EditOutcome:
        """Return the effect of an edit on all variants but `target`.

        every: try all valid variants, and not only a sample of many.
        """
        others = [other for other in self.session.all_targets if other != target]
        tried = others if every else others[:: max(-(-len(others) // VARIANT_SAMPLE), 1)]
        wrong, changes = 0, []
        for other in tried:
            before = self._valid_plan(other, None)
            if before is None and every:
                continue  # an invalid variant cannot become invalid
            after = self._valid_plan(other, (proposal.file, proposal.text))
            if before is not None and after is None:
                return EditOutcome(breaks=True)
            wrong += after is None
            if before is not None and after is not None:
                steps = find_step_changes(compiled_net(before), compiled_net(after), lines)
                changes += [(other, change) for change in steps]
        return EditOutcome(wrong=wrong, changes=tuple(changes))

    def is_sampled(self) -> bool:
        """Return whether a search tries only a sample of the variants."""
        return len(self.session.all_targets) > VARIANT_SAMPLE + 1

    def _valid_plan(self, target: str, edit: Edit | None) -> Plan | None:
        """Return the plan of a variant; None if shapes do not fit or an expectation is not met."""
        key = target, edit
        if key not in self.plans:
            if len(self.plans) >= MAX_KEPT_PLANS:
                del self.plans[next(known for known in self.plans)]
            self.plans[key] = self._compile_if_valid(target, edit)
        return self.plans[key]

    def _compile_if_valid(self, target: str, edit: Edit | None) -> Plan | None:
        try:
            plan = self.session.plan(target, edit=edit)
        except ArchscopeError:
            return None
        if plan.mismatches or not all(meets_sizes(plan, e) for e in plan.expected):
            return None
        if any(e.key == "macs" for e in plan.expected) and edit is not None:
            costs = plan_costs(plan)
            return plan if costs is not None and all(meets_macs(costs, e) for e in plan.expected) else None
        return plan


def format_step_changes(changes: Iterable[tuple[str, StepChange]]) -> Sequence[str]:
    """Return a line such as `small: 0: 1×8×8×8 → 1×16×8×8` for each changed step of another variant."""
    return [f"{target.rpartition(':')[2]}: {describe_step_change(change)}" for target, change in changes]
