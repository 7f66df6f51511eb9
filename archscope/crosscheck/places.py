"""Where both counted: rows and counts, gathered by the module that ran them.

Report → Works (a row's kernels with a price) ┐
Statement → Counts and unknown operators      ┴─ by module path → Place
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from archscope.cost import price
from archscope.report import PricedRow, Report
from archscope.statement import Count, Statement


@dataclass(frozen=True)
class Work:
    """A product of ours: its row, what is called (`Linear`, `lstm`), its kernel where the row has several, its MACs."""

    row: PricedRow
    subject: str
    kernel: str
    macs: int


@dataclass
class Place:
    """One module: what we count there, what the witness does, and the operators that it has no formula for."""

    path: str
    works: list[Work] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    unknown: list[Count] = field(default_factory=list)
    unpriced: list[PricedRow] = field(default_factory=list)
    free: list[PricedRow] = field(default_factory=list)

    @property
    def ours(self) -> int:
        return sum(work.macs for work in self.works)

    @property
    def theirs(self) -> int:
        return sum(count.macs for count in self.counts)


def places(report: Report, statement: Statement, modules: Collection[str]) -> dict[str, Place]:
    """The places of both, in the order of our rows; modules: the paths that the model has."""
    found: dict[str, Place] = {}
    for row in report.rows:
        place = at(found, held(row.path, modules))
        place.works += works(row, report)
        if row.cost.unpriced:
            place.unpriced.append(row)
        elif not row.cost.known:
            place.free.append(row)
    for count in statement.counts:
        at(found, count.path).counts.append(count)
    for count in statement.unknown:
        at(found, count.path).unknown.append(count)
    return found


def at(found: dict[str, Place], path: str) -> Place:
    return found.setdefault(path, Place(path))


def held(path: str, modules: Collection[str]) -> str:
    """The nearest module that the model holds: a witness knows no others."""
    while path and path not in modules:
        path = path.rpartition(".")[0]
    return path


def works(row: PricedRow, report: Report) -> Iterable[Work]:
    """The row's products, kernel by kernel where their sum is the row."""
    if not row.cost.known:
        return
    kernels = [(kernel.name, price(row.row._replace(kernels=(kernel,))).known) for kernel in row.row.kernels]
    subject = subject_of(row, report)
    if sum(macs for _, macs in kernels) != row.cost.known:
        kernels = [("", row.cost.known)]
    yield from (Work(row, subject, name.removeprefix("aten."), macs) for name, macs in kernels if macs)


def subject_of(row: PricedRow, report: Report) -> str:
    """The layer's class where a layer runs, else the function's short name."""
    layer = report.index.layer(row.row)
    return layer.name if layer is not None else row.row.short or row.op
