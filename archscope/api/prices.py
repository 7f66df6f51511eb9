"""Prices that only an operation's author knows: register_cost(op, formula) → the table that reports are priced by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archscope.cost import FORMULAS, Cost, Formula, plain_name, prices
from archscope.errors import UsageError
from archscope.trace import Kernel, Row


class Registry:
    """The formulas that were registered, by their operations' names: the one table of ours that a call changes."""

    def __init__(self) -> None:
        self._formulas: Mapping[str, Formula] = {}

    def put(self, name: str, formula: Formula) -> None:
        """A formula for `name`, instead of the one that it had."""
        self._formulas = {**self._formulas, name: whole(name, formula)}

    def prices(self, rows: Sequence[Row]) -> tuple[Cost, ...]:
        """The cost of every row; registered formulas go before ours, and one of a function before its kernels'."""
        if self._formulas:
            rows = [as_one_kernel(row) if self._prices_function(row) else row for row in rows]
        return prices(rows, {**FORMULAS, **self._formulas})

    def _prices_function(self, row: Row) -> bool:
        """Whether a formula is meant for the row's function as a whole, which is no kernel itself."""
        name = plain_name(row.function)
        return name in self._formulas and all(plain_name(kernel.name) != name for kernel in row.kernels)


def as_one_kernel(row: Row) -> Row:
    """The row with its function as its only kernel."""
    shapes = tuple(operand.value.shape for operand in row.inputs), tuple(value.shape for value in row.outputs)
    return row._replace(kernels=(Kernel(plain_name(row.function), *shapes, row.attributes),))


REGISTERED = Registry()


def register_cost(op: Any, formula: Formula | None = None) -> Callable[[Formula], Formula]:
    """Prices an operation that archscope cannot: one of a C++ extension or of `torch.library`, a decomposition.

    op: the operator (`torch.ops.mylib.attention`), a torch function, or its name as reports show it. formula: takes a
    `Kernel`, with the shapes of its tensors (`inputs`, `outputs`) and its other arguments (`get("heads")`), and gives
    the multiply-adds of one call; None where they depend on values. Without a formula this is a decorator:

        @archscope.register_cost("mylib::attention")
        def attention(kernel): ...

    It holds for every report that this process makes from now on; a second formula replaces the first. Raises
    UsageError where `op` is no operation, and, when a report is priced, where a formula fails or gives no whole number.
    """
    name = name_of(op)

    def register(formula: Formula) -> Formula:
        if not callable(formula):
            raise UsageError(f"the price of {name} is a function of a kernel, not {formula!r}", "lambda kernel: …")
        REGISTERED.put(name, formula)
        return formula

    if formula is not None:
        register(formula)
    return register


def name_of(op: Any) -> str:
    """The name by which kernels of an operation go. Raises UsageError."""
    if isinstance(op, str):
        name = plain_name(op)
    elif callable(op) and hasattr(op, "__name__"):
        from archscope.record import name_of_function

        name = plain_name(name_of_function(op))
    else:
        raise UsageError(f"{op!r} is no operation", 'torch.ops.mylib.attention, or its name: "mylib::attention"')
    if "." not in name:
        raise UsageError(f"{name!r} is no operation's name", 'with its library: "mylib::attention"')
    return name


def whole(name: str, formula: Formula) -> Formula:
    """The formula, held to what it must give."""

    def checked(kernel: Kernel) -> int | None:
        try:
            macs = formula(kernel)
        except Exception as error:
            fact = f"the formula registered for {name} fails: {type(error).__name__}: {error}"
            raise UsageError(fact, f"it was given {kernel}") from error
        if macs is not None and (isinstance(macs, bool) or not isinstance(macs, int) or macs < 0):
            fact = f"the formula registered for {name} gives {macs!r}"
            raise UsageError(fact, "a whole number of multiply-adds, or None")
        return macs

    return checked
