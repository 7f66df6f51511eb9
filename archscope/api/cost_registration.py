"""`register_cost`: cost formulas of users for operations of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archscope.cost import Formula
from archscope.errors import UsageError


def register_cost(op: Any, formula: Formula | None = None) -> Callable[[Formula], Formula]:
    """Register the cost formula of an operation without one: of a C++ extension, of `torch.library`, or a
    decomposition.

    op: the operator (`torch.ops.mylib.attention`), a torch function, or its name as reports show it. formula: takes a
    `Kernel`, which has the shapes of its tensors (`inputs`, `outputs`) and its other arguments (`get("heads")`), and
    returns the multiply-adds of one call, or None if they depend on values. Without a formula this is a decorator:

        @archscope.register_cost("mylib::attention")
        def attention(kernel): ...

    The formula is used in every report that this process makes afterwards, and for all forms of an operation:
    `torch.add` covers `a + a` too. A second formula replaces the first. Raises UsageError if `op` is not an
    operation, or if calls of it are not visible; and, when a report is priced, if a formula raises or does not return
    a non-negative integer or None.
    """
    from archscope.analysis.cost_registry import COST_REGISTRY, operation_name

    name = operation_name(op)

    def register(formula: Formula) -> Formula:
        if not callable(formula):
            raise UsageError(f"the price of {name} is a function of a kernel, not {formula!r}", "lambda kernel: …")
        COST_REGISTRY.register(name, formula)
        return formula

    if formula is not None:
        register(formula)
    return register
