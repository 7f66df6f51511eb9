"""What an edit does to the other variants of a spec: whether one that is sound breaks, or becomes another net.

Session, edit → each other variant compiled before and after → sound before, and now? the same net? → EditOutcome
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archscope.api.expected_figures import compiled_net, meets_macs, meets_sizes
from archscope.api.plan_costs import plan_costs
from archscope.api.spec_session import SpecSession
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from archscope.checks.conflicts.proposals import Proposal
    from archscope.checks.conflicts.step_changes import LineMap, StepChange
    from archscope.compile import Plan

VARIANT_SAMPLE = 8
"""On how many other variants an edit is tried while fixes are looked for; those that are offered are tried on all."""


@dataclass(frozen=True)
class EditOutcome:
    """breaks: whether a sound variant is wrong with the edit. wrong: how many that were wrong still are. changes: what
    becomes other in the sound ones, with the variant."""

    breaks: bool = False
    wrong: int = 0
    changes: tuple[tuple[str, StepChange], ...] = ()


@dataclass
class OtherVariants:
    """The variants of one spec as they stand. plans: of those that are sound; None: it is not."""

    session: SpecSession
    plans: dict[str, Plan | None] = field(default_factory=dict)

    def edit_outcome(self, target: str, proposal: Proposal, lines: LineMap, *, every: bool = False) -> EditOutcome:
        """What an edit does to the variants beside one; of many a sample, unless all that are sound are wanted."""
        others = [other for other in self.session.all_targets if other != target]
        tried = others if every else others[:: max(-(-len(others) // VARIANT_SAMPLE), 1)]
        wrong, changes = 0, []
        for other in tried:
            before = self._valid_plan(other)
            if before is None and every:
                continue  # what is wrong already cannot break
            after = self._edited_plan(other, proposal)
            if before is not None and after is None:
                return EditOutcome(breaks=True)
            wrong += after is None
            if before is not None and after is not None:
                changes += [(other, change) for change in changed_steps(before, after, lines)]
        return EditOutcome(wrong=wrong, changes=tuple(changes))

    def is_sampled(self) -> bool:
        """Whether there are more variants than are tried while fixes are looked for."""
        return len(self.session.all_targets) > VARIANT_SAMPLE + 1

    def _valid_plan(self, target: str) -> Plan | None:
        if target not in self.plans:
            self.plans[target] = self._compile_if_valid(target, None)
        return self.plans[target]

    def _edited_plan(self, target: str, proposal: Proposal) -> Plan | None:
        return self._compile_if_valid(target, (proposal.file, proposal.text))

    def _compile_if_valid(self, target: str, edit: tuple[str, str] | None) -> Plan | None:
        """The plan of a variant that fits and is what the file expects."""
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


def changed_steps(before: Plan, after: Plan, lines: LineMap) -> Iterator[StepChange]:
    """The steps of a variant that an edit changes."""
    from archscope.checks.conflicts.edit_verdict import find_step_changes

    return find_step_changes(compiled_net(before), compiled_net(after), lines)


def format_step_changes(changes: Iterable[tuple[str, StepChange]]) -> Sequence[str]:
    """`small: 0: 1×8×8×8 → 1×16×8×8`, a line for each step of another variant."""
    from archscope.checks.conflicts.fix_search import describe_step_change

    return [f"{target.rpartition(':')[2]}: {describe_step_change(change)}" for target, change in changes]
