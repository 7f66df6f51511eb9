"""The table of cost formulas that reports are priced with: those of archscope, and those that users register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archscope import record
from archscope.cost import FORMULAS, Cost, Formula, plain_name, price_rows
from archscope.errors import UsageError
from archscope.trace import Kernel, Row

OPERATOR_PREFIXES = {
    "torch": "",
    "torch.Tensor": "",
    "torch.nn.functional": "",
    "torch.linalg": "linalg_",
    "torch.fft": "fft_",
}
"""The namespace of torch functions → the prefix of the operators that they call."""

IN_PLACE_OPERATORS = {
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "idiv": "div",
    "itruediv": "div",
    "imod": "remainder",
}
"""Python's in-place operators → the aten operators that they call."""


class CostRegistry:
    """The registered formulas by the names of their operations; the only table here that changes at run time."""

    def __init__(self) -> None:
        self._formulas: Mapping[str, Formula] = {}

    def register(self, name: str, formula: Formula) -> None:
        """Register a formula for `name`, in place of an earlier one for the same operation."""
        others = {known: before for known, before in self._formulas.items() if known != name}
        self._formulas = {**others, name: checked_formula(name, formula)}

    def price_rows(self, rows: Sequence[Row]) -> tuple[Cost, ...]:
        """Return the cost of every row; registered formulas have priority, one for a function over those for its
        kernels.
        """
        if not self._formulas:
            return price_rows(rows)
        functions = {operator_name(name): formula for name, formula in self._formulas.items()}
        own = {name: formula for name, formula in self._formulas.items() if not name.startswith("torch.")}
        priced_rows, found = [], {**FORMULAS, **own}
        for row in rows:
            operator = operator_name(row.function)
            shown = operator in own and any(operator_name(kernel.name) == operator for kernel in row.kernels)
            if operator in functions and not shown:
                found[row.function] = functions[operator]
                # the function is the only kernel of the row
                shapes = tuple(operand.value.shape for operand in row.inputs), tuple(out.shape for out in row.outputs)
                row = row._replace(kernels=(Kernel(row.function, *shapes, row.attributes),))
            priced_rows.append(row)
        return price_rows(priced_rows, found)


def operator_name(name: str) -> str:
    """Return the name of the operator that a function or operator calls; other names are returned unchanged.

    `torch.add`, `torch.Tensor.__radd__` and `torch.ops.aten.add_.Tensor` are `aten.add`.
    """
    plain = plain_name(name)
    space, _, last = plain.rpartition(".")
    if space in OPERATOR_PREFIXES:
        bare = record.short_name(last)
        plain = f"aten.{OPERATOR_PREFIXES[space]}{IN_PLACE_OPERATORS.get(bare, bare)}"
    if not plain.startswith("aten.") or plain.startswith("aten._"):
        return plain
    return ".".join(plain.split(".")[:2]).removesuffix("_")


COST_REGISTRY = CostRegistry()


def operation_name(op: Any) -> str:
    """Return the name of an operation as its kernels have it. Raises UsageError."""
    op = getattr(op, "_opoverload", op)  # the type of functions that torch.library.custom_op returns
    if isinstance(op, str):
        name = plain_name(op)
    elif callable(op) and hasattr(op, "__name__"):
        name = plain_name(record.qualified_name(op))
        if not record.is_visible(op):
            suggestion = "a function of torch's that it calls, or an operator made of it by torch.library.custom_op"
            raise UsageError(f"a price of {name} has no effect: torch shows no call of it", suggestion)
    else:
        raise UsageError(f"{op!r} is not an operation", 'torch.ops.mylib.attention, or its name: "mylib::attention"')
    if "." not in name:
        raise UsageError(f"{name!r} is not the name of an operation", 'with its library: "mylib::attention"')
    space, _, last = name.partition(".")
    if isinstance(op, str) and space in ("torch", "aten") and not record.is_torch_name(name):
        raise UsageError(f"a price of {name} has no effect: torch has no such function", "torch.add, aten.add")
    return name if space == "torch" else f"{space}.{last.partition('.')[0]}"  # an operator with all its overloads


def checked_formula(name: str, formula: Formula) -> Formula:
    """Return the formula with a check of its result."""

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
