"""The cost of a row: its kernels by formula, free or unpriced; its bytes by its values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from archscope.cost.formulas import FORMULAS, Formula
from archscope.cost.kernels_without_formula import FREE_KERNELS
from archscope.trace import Kernel, Row


@dataclass(frozen=True)
class Cost:
    """The cost of one or more rows, as integers that add.

    known: the MACs of all kernels with a price. read, written: bytes. unpriced: the names of kernels without a price.
    """

    known: int = 0
    read: int = 0
    written: int = 0
    unpriced: tuple[str, ...] = ()

    @property
    def macs(self) -> int | None:
        """The MACs; None if a kernel is unpriced, since an unknown figure is never shown as zero."""
        return None if self.unpriced else self.known

    @property
    def flops(self) -> int | None:
        """2 × macs; None if a kernel is unpriced."""
        return None if self.unpriced else 2 * self.known

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.known + other.known,
            self.read + other.read,
            self.written + other.written,
            self.unpriced + other.unpriced,
        )


def price_rows(
    rows: Sequence[Row], formulas: Mapping[str, Formula] = FORMULAS, *, free: Collection[str] = FREE_KERNELS
) -> tuple[Cost, ...]:
    """Return the cost of every row; kernels that several rows share are priced once, and equal costs are one object."""
    priced: dict[int, tuple[int, tuple[str, ...]]] = {}
    shared: dict[tuple[int, int, int], Cost] = {}
    costs = []
    for row in rows:
        kernels, moved = row.kernels, traffic(row)
        cost = shared.get((id(kernels), *moved))
        if cost is None:
            known, unpriced = priced.get(id(kernels)) or priced.setdefault(
                id(kernels), price_kernels(kernels, formulas, free)
            )
            cost = shared[id(kernels), *moved] = Cost(known, *moved, unpriced)
        costs.append(cost)
    return tuple(costs)


def price_row(row: Row, formulas: Mapping[str, Formula] = FORMULAS, *, free: Collection[str] = FREE_KERNELS) -> Cost:
    """Return the cost of one row: MACs by `formulas` (kernel name → formula), bytes by its values."""
    return price_rows((row,), formulas, free=free)[0]


def price_kernels(
    kernels: Iterable[Kernel], formulas: Mapping[str, Formula], free: Collection[str]
) -> tuple[int, tuple[str, ...]]:
    """Return the MACs of kernels, and the names of those without a price: no formula, or one that returns None."""
    known, unpriced = 0, []
    for kernel in kernels:
        name = table_name(kernel.name, formulas, free)
        macs = formulas[name](kernel) if name in formulas and not kernel.get("nested") else 0 if name in free else None
        if macs is None:
            unpriced.append(kernel.name)
        else:
            known += macs * (example_count(kernel) if kernel.attributes else 1)
    return known, tuple(unpriced)


def example_count(kernel: Kernel) -> int:
    """Return how many examples the kernel processes at once (`vmap`); its shapes are those of one."""
    times = kernel.get("examples", 1)
    assert isinstance(times, int)
    return times


def table_name(name: str, formulas: Mapping[str, Formula], free: Collection[str]) -> str:
    """Return a kernel's name as in the tables: `aten.add_` and `prims.add` cost what `aten.add` does."""
    if name in formulas or name in free:
        return name
    plain = plain_name(name)
    return plain if plain in formulas or plain in free else plain.removesuffix("_")


def plain_name(name: str) -> str:
    """Return a kernel's name with dots: `mylib::attention`, `torch.ops.mylib.attention.default` → `mylib.attention`.

    Primitives of torch's compiler get the names of the aten operators that they implement.
    """
    plain = name.replace("::", ".").removeprefix("torch.ops.").removesuffix(".default")
    return plain.replace("prims.", "aten.", 1) if plain.startswith("prims.") else plain


def traffic(row: Row) -> tuple[int, int]:
    """Return the bytes read and written: distinct inputs once, outputs once; nothing for a view."""
    if row.view:
        return 0, 0
    read = {operand.value.id: operand.value.bytes for operand in row.inputs}
    return sum(read.values()), sum([value.bytes for value in row.outputs])
