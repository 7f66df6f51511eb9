"""The MACs of a compiled spec, from one run of each distinct block on meta.

Plan → a recorded pass of the distinct blocks → their rows, priced → MACs of each block and its inner blocks
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archscope import targets
from archscope.analysis.cost_registry import COST_REGISTRY
from archscope.analysis.spec_runs import example_inputs
from archscope.compile import block_at, build_distinct_net, count_block_uses, has_uneven_loops
from archscope.cost import Cost
from archscope.gc_pause import gc_paused
from archscope.record import record
from archscope.trace import Mismatch, Trace


class PlanCosts:
    """The MACs of a plan's blocks, and the shapes that did not fit in the run.

    own: the MACs of a block's own rows, by the `id` of its plan; None if one of them has no formula.
    """

    def __init__(self, plan: Any, own: Mapping[int, int | None], mismatches: tuple[Mismatch, ...]):
        self.plan, self._own, self.mismatches = plan, own, mismatches
        self._sums: dict[int, int | None] = {}

    def macs(self, path: str = "") -> int | None:
        """Return the MACs of the whole net, or of the block at a path; None if they are not known."""
        block = block_at(self.plan.block, path)
        return None if block is None else self._block_macs(block)

    def _block_macs(self, block: Any) -> int | None:
        if id(block) not in self._sums:
            parts = [self._own[id(block)]]
            for inner, count in count_block_uses(block):
                macs = self._block_macs(inner)
                parts.append(None if macs is None else macs * count)
            known = [part for part in parts if part is not None]
            self._sums[id(block)] = sum(known) if len(known) == len(parts) else None
        return self._sums[id(block)]


@gc_paused()
def plan_costs(plan: Any, *, dtype: str | None = None, train: bool = False) -> PlanCosts | None:
    """Return the MACs of a plan, from one pass on meta; None if it fails, or if iterations of a loop differ in size."""
    if has_uneven_loops(plan.block):
        return None
    kind = targets.resolve_dtype(dtype)
    net = build_distinct_net(plan, dtype=kind, train=train)
    called: list[int] = []
    inputs = example_inputs(plan, "meta", kind)

    def run(recorder: Any) -> Any:
        output, called[:] = net.run(tuple(inputs.values()), recorder)
        return output

    tensors = [
        (f"{key}.{name}", tensor)
        for key, module in net.modules.items()
        for tensors_of in (module.named_parameters, module.named_buffers)
        for name, tensor in tensors_of(remove_duplicate=False)
    ]
    recording = record(
        run,
        target=plan.target,
        device="meta",
        dtype=dtype or "float32",
        mode="train" if train else "eval",
        inputs=inputs,
        parameters=tensors,
    )
    if recording.trace.failure is not None:
        return None
    trace = recording.trace
    return PlanCosts(plan, macs_by_block(trace, COST_REGISTRY.price_rows(trace.rows), called), trace.mismatches)


def macs_by_block(trace: Trace, costs: Iterable[Cost], called: Sequence[int]) -> dict[int, int | None]:
    """Return the MACs of each block's own rows, without those of inner blocks. called: the `id` of the block of each
    block call.
    """
    found: dict[int, int | None] = dict.fromkeys(called, 0)
    calls = (call.index for call in trace.calls if call.site.kind == "block")
    blocks = dict(zip(calls, called, strict=True))
    for row, cost in zip(trace.rows, costs, strict=True):
        call = row.call
        while call not in blocks:
            call = trace.calls[call].parent
        before = found[blocks[call]]
        found[blocks[call]] = None if before is None or cost.unpriced else before + cost.known
    return found
