"""Every difference put down to rows: places → what is free, biases, what is equal, what is left → Found → Differences.

Place ─ no products ─ biases ─ equal figures ─ unpriced here ─ not counted there ─ counted otherwise ─→ Found
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archscope.cost import FREE as FREE_KERNELS
from archscope.crosscheck import causes
from archscope.crosscheck.causes import Found
from archscope.crosscheck.model import UNEXPLAINED, Account, CrossCheck, Difference
from archscope.crosscheck.places import Place, Work, places
from archscope.report import Report, Views
from archscope.statement import Count, Statement
from archscope.trace import Param

Pair = tuple[list[Work], list[Count]]


def cross_check(
    report: Report,
    seconds: float,
    statements: Iterable[Statement],
    modules: Iterable[str],
    *,
    views: Views = Views(),  # noqa: B008 - frozen
) -> CrossCheck:
    """Our report and the statements on one call, each difference with its causes; modules: the paths of the model."""
    scales = Scales(report, frozenset(modules))
    return CrossCheck(report, seconds, tuple(map(scales.account, statements)), views)


@dataclass(frozen=True)
class Scales:
    """What every account is weighed against: our report, and the modules that the model holds."""

    report: Report
    modules: frozenset[str]

    def account(self, statement: Statement) -> Account:
        if statement.status != "counted":
            return Account(statement, self.report)
        found = Case(self.report, statement, places(self.report, statement, self.modules), self.modules).all()
        of_params = tuple(params(self.report, statement))
        return Account(statement, self.report, causes.grouped(found), of_params)


@dataclass(frozen=True)
class Case:
    """One witness's statement beside our rows."""

    report: Report
    statement: Statement
    places: Mapping[str, Place]
    modules: frozenset[str]

    def all(self) -> Iterator[Found]:
        for place in self.places.values():
            yield from self.weighed(place)

    def weighed(self, place: Place) -> Iterator[Found]:
        counts = []
        for count in place.counts:
            if self.is_free(count, place):
                yield (free_layer if self.statement.sees == "layers" else free_operator)(count, place)
            else:
                counts.append(count)
        if self.statement.sees == "layers":
            yield from biases(place, counts)
            counts = [without_bias(count) for count in counts]
        if place.ours != sum(count.macs for count in counts):
            yield from self.unequal(place, *uneven(place.works, counts))

    def is_free(self, count: Count, place: Place) -> bool:
        """Whether it counts what holds no products: a layer none of whose rows is priced, an operator on our list."""
        if self.statement.sees == "layers":
            return not place.works and not place.unpriced
        return f"aten.{causes.bare(count.name)}" in FREE_KERNELS or count.name.replace("::", ".") in FREE_KERNELS

    def unequal(self, place: Place, works: list[Work], counts: list[Count]) -> Iterator[Found]:
        """What is left of a place without equal figures."""
        theirs = sum(count.macs for count in counts)
        if place.unpriced and theirs:
            yield self.unpriced(place, works, theirs)
            return
        gone = [work for work in works if not theirs or causes.nameless(work, place.unknown)]
        rest = [work for work in works if work not in gone]
        if gone and sum(work.macs for work in rest) == theirs:
            for reason, group in self.reasons(place, gone):
                yield from causes.lost(place, group, reason)
            return
        for pair in paired(works, counts):
            yield self.otherwise(place, *pair)

    def unpriced(self, place: Place, works: Sequence[Work], theirs: int) -> Found:
        rows = tuple(row.index for row in place.unpriced)
        amount = theirs - sum(work.macs for work in works)
        return Found("unpriced", place.unpriced[0].row.short, causes.UNPRICED, amount, rows, place.path, len(rows))

    def otherwise(self, place: Place, works: list[Work], counts: list[Count]) -> Found:
        known = causes.of_layer if self.statement.sees == "layers" else causes.of_operator
        cause = known(place, works, counts[0]) if works and len(counts) == 1 else None
        return cause or causes.differs(place, works, counts)

    # -------------------------------------------------------- why it is not counted
    def reasons(self, place: Place, works: Sequence[Work]) -> Iterator[tuple[str, list[Work]]]:
        groups: dict[str, list[Work]] = {}
        for work in works:
            groups.setdefault(self.reason(place, work), []).append(work)
        yield from groups.items()

    def reason(self, place: Place, work: Work) -> str:
        if self.statement.sees == "layers":
            return layer_reason(place, work, self.modules)
        own, around = causes.nameless(work, place.unknown), self.enclosing(place)
        if own is not None:
            return f"not counted: no formula for {own.name}"
        if around is not None:
            return f"not counted: inside {around.name}, which has no formula"
        if work.row.index not in self.report.index.needed:
            return "not counted: nothing reads the result, and its trace drops it"
        opaque = next((op.name for op in place.unknown if op.name.startswith("prim::PythonOp")), None)
        if opaque is not None:
            return f"not counted: inside {opaque}, which has no formula"
        return "not counted"

    def enclosing(self, place: Place) -> Count | None:
        """An operator without a formula that stands for a module around this place, or for the place itself."""
        path = place.path
        while True:
            around = self.places[path].unknown if path in self.places else []
            found = next((count for count in around if causes.ENCLOSING.fullmatch(count.name)), None)
            if found is not None or not path:
                return found
            path = path.rpartition(".")[0]


# ------------------------------------------------------------ steps
def free_operator(count: Count, place: Place) -> Found:
    """An operator without products that is counted, as often as we have rows of it there."""
    rows = [row for row in place.free if row.row.short == causes.bare(count.name)]
    names = dict.fromkeys(row.op for row in rows)
    subject = next(iter(names)) if len(names) == 1 else causes.bare(count.name)
    indexes = tuple(row.index for row in rows)
    return Found("no-products", subject, causes.FREE, count.macs, indexes, place.path, len(rows) or 1)


def free_layer(count: Count, place: Place) -> Found:
    """A layer none of whose rows has a product, counted by its parameters."""
    return Found("no-products", count.name, causes.FREE, count.macs, tuple(row.index for row in place.free), place.path)


def biases(place: Place, counts: Sequence[Count]) -> Iterator[Found]:
    """Additions of a bias that are counted as multiply-adds, call by call."""
    rows = list(dict.fromkeys(work.row.index for work in place.works))
    own = rows if len(rows) == len(counts) else []
    for index, count in enumerate(counts):
        amount = count.macs - without_bias(count).macs
        if amount and place.works:
            yield Found("bias", count.name, causes.BIAS, amount, tuple(own[index : index + 1]), place.path)


def without_bias(count: Count) -> Count:
    """The part that the weights have in a figure made of weights and biases, where it is a whole number."""
    whole, rest = divmod(count.macs * count.weights, count.weights + count.biases or 1)
    return replace(count, macs=whole) if count.biases and not rest else count


def uneven(works: Sequence[Work], counts: Sequence[Count]) -> tuple[list[Work], list[Count]]:
    """Both without the figures that occur on both sides."""
    both = Counter(work.macs for work in works) & Counter(count.macs for count in counts)
    return left_over(works, Counter(both)), left_over(counts, Counter(both))


def left_over(figures: Iterable, matched: Counter[int]) -> list:
    kept = []
    for one in figures:
        if matched[one.macs] > 0:
            matched[one.macs] -= 1
        else:
            kept.append(one)
    return kept


def paired(works: Sequence[Work], counts: Sequence[Count]) -> Iterator[Pair]:
    """Row by row with count by count where there are as many, else all with all."""
    rows: dict[int, list[Work]] = {}
    for work in works:
        rows.setdefault(work.row.index, []).append(work)
    if len(rows) == len(counts):
        yield from ((own, [count]) for own, count in zip(rows.values(), counts, strict=True))
    else:
        yield list(works), list(counts)


def layer_reason(place: Place, work: Work, modules: frozenset[str]) -> str:
    """Why a tool that counts layers by their parameters counts nothing here."""
    if place.counts:
        return "not counted: it has no parameter called weight or bias"
    if work.subject == work.row.row.short:
        return "not counted: a function, and it sees layers only"
    inside = any(path.startswith(f"{place.path}.") or not place.path for path in modules - {place.path})
    return "not counted: it sees the layers inside, which are not called" if inside else "not counted"


# ------------------------------------------------------------ parameters
def params(report: Report, statement: Statement) -> Iterator[Difference]:
    """Tied parameters counted in each layer that has them, pruned weights left out: where they are the difference."""
    if statement.params is None or statement.params == report.total.params:
        return
    off, tied = statement.params - report.total.params, again(report, statement)
    subject, extra = f"{len(tied)} parameter{'s' * (len(tied) != 1)}", sum(param.count for param in tied)
    twice = Difference("tied", subject, extra, "with another name counted again", times=0)
    amount = -sum(count.pruned for count in statement.counts)
    pruned = Difference("pruned", "pruned weights", amount, "not counted", times=0)
    for some in ((twice,), (pruned,), (twice, pruned)):
        if sum(difference.amount for difference in some) == off:
            yield from some
            return
    yield Difference(UNEXPLAINED, "parameters", off, "", times=0)


def again(report: Report, statement: Statement) -> list[Param]:
    """The other names of tied parameters, of those names whose layer was called."""
    called = {count.path for count in statement.counts}
    names = [param for param in report.trace.params if param.name.rpartition(".")[0] in called]
    first: dict[str, str] = {}
    return [param for param in names if first.setdefault(param.tied_to or param.name, param.name) != param.name]
