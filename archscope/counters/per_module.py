"""Rows and counts, gathered by the module that ran them.

Report → RowProducts (a row's kernels with a price)   ┐
CounterResult → counts and operators without a formula ┴─ by module path → ModuleCounts
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from archscope.cost import price_row
from archscope.counters.result import CountedOp, CounterResult
from archscope.report import PricedRow, Report


@dataclass(frozen=True)
class RowProduct:
    """One of our products.

    row: its row. subject: what is called (`Linear`, `lstm`). kernel: its kernel, if the row has several. macs: its
    MACs.
    """

    row: PricedRow
    subject: str
    kernel: str
    macs: int


@dataclass
class ModuleCounts:
    """The counts of archscope and a counter in one module, and the operators for which the counter has no formula."""

    path: str
    products: list[RowProduct] = field(default_factory=list)
    counts: list[CountedOp] = field(default_factory=list)
    unknown: list[CountedOp] = field(default_factory=list)
    unpriced: list[PricedRow] = field(default_factory=list)
    free: list[PricedRow] = field(default_factory=list)

    @property
    def ours(self) -> int:
        return sum(product.macs for product in self.products)

    @property
    def theirs(self) -> int:
        return sum(count.macs for count in self.counts)


def counts_by_module(report: Report, result: CounterResult, modules: Collection[str]) -> dict[str, ModuleCounts]:
    """Return the counts of each module, in the order of our rows; modules: the paths that the model has."""
    found: dict[str, ModuleCounts] = {}
    for row in report.rows:
        path = row.path
        while path and path not in modules:  # a counter does not know modules that the model does not hold
            path = path.rpartition(".")[0]
        module = module_counts(found, path)
        module.products += row_products(row, report)
        if row.cost.unpriced:
            module.unpriced.append(row)
        elif not row.cost.known:
            module.free.append(row)
    for count in result.counts:
        module_counts(found, count.path).counts.append(count)
    for count in result.unknown:
        module_counts(found, count.path).unknown.append(count)
    return found


def module_counts(found: dict[str, ModuleCounts], path: str) -> ModuleCounts:
    return found.setdefault(path, ModuleCounts(path))


def row_products(row: PricedRow, report: Report) -> Iterable[RowProduct]:
    """Yield the row's products, kernel by kernel if their sum is the row's."""
    if not row.cost.known:
        return
    kernels = [(kernel.name, price_row(row.row._replace(kernels=(kernel,))).known) for kernel in row.row.kernels]
    layer = report.index.layer(row.row)
    subject = layer.name if layer is not None else row.row.short_name or row.op
    if sum(macs for _, macs in kernels) != row.cost.known:
        kernels = [("", row.cost.known)]
    yield from (RowProduct(row, subject, name.removeprefix("aten."), macs) for name, macs in kernels if macs)
