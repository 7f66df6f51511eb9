"""Every difference put down to rows: places → what is free, biases, what is equal, what is left → Found → Differences.

Place ─ no products ─ biases ─ equal figures ─ unpriced here ─ not counted there ─ counted otherwise ─→ Found
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archscope.cost import FREE_KERNELS as FREE_KERNELS
from archscope.counter_result import CountedOp, CounterResult
from archscope.crosscheck import causes
from archscope.crosscheck.causes import FoundCause
from archscope.crosscheck.differences import UNEXPLAINED, Account, CrossCheck, Difference
from archscope.crosscheck.per_module import ModuleCounts, RowProduct, counts_by_module
from archscope.report import Report, ReportViews
from archscope.trace import Param

MatchedGroup = tuple[list[RowProduct], list[CountedOp]]


def cross_check(
    report: Report,
    seconds: float,
    statements: Iterable[CounterResult],
    modules: Iterable[str],
    *,
    views: ReportViews = ReportViews(),  # noqa: B008 - frozen
) -> CrossCheck:
    """Our report and the statements on one call, each difference with its causes; modules: the paths of the model."""
    scales = Explanation(report, frozenset(modules))
    return CrossCheck(report, seconds, tuple(map(scales.account, statements)), views)


@dataclass(frozen=True)
class Explanation:
    """What every account is weighed against: our report, and the modules that the model holds."""

    report: Report
    modules: frozenset[str]

    def account(self, statement: CounterResult) -> Account:
        if statement.status != "counted":
            return Account(statement, self.report)
        found = ResultExplanation(
            self.report, statement, counts_by_module(self.report, statement, self.modules), self.modules
        ).find_causes()
        of_params = tuple(param_differences(self.report, statement))
        return Account(statement, self.report, causes.group_causes(found), of_params)


@dataclass(frozen=True)
class ResultExplanation:
    """One witness's statement beside our rows."""

    report: Report
    statement: CounterResult
    module_counts: Mapping[str, ModuleCounts]
    modules: frozenset[str]

    def find_causes(self) -> Iterator[FoundCause]:
        for place in self.module_counts.values():
            yield from self.explain_module(place)

    def explain_module(self, place: ModuleCounts) -> Iterator[FoundCause]:
        counts = []
        for count in place.counts:
            if self.is_free(count, place):
                yield (free_layer if self.statement.granularity == "layers" else free_operator)(count, place)
            else:
                counts.append(count)
        if self.statement.granularity == "layers":
            yield from bias_causes(place, counts)
            counts = [without_bias(count) for count in counts]
        if place.ours != sum(count.macs for count in counts):
            yield from self.explain_unequal(place, *drop_equal(place.products, counts))

    def is_free(self, count: CountedOp, place: ModuleCounts) -> bool:
        """Whether it counts what holds no products: a layer none of whose rows is priced, an operator on our list."""
        if self.statement.granularity == "layers":
            return not place.products and not place.unpriced
        return f"aten.{causes.bare_name(count.name)}" in FREE_KERNELS or count.name.replace("::", ".") in FREE_KERNELS

    def explain_unequal(
        self, place: ModuleCounts, works: list[RowProduct], counts: list[CountedOp]
    ) -> Iterator[FoundCause]:
        """What is left of a place without equal figures."""
        theirs = sum(count.macs for count in counts)
        if place.unpriced and theirs:
            yield self.unpriced_cause(place, works, theirs)
            return
        gone = [work for work in works if not theirs or causes.find_unknown_operator(work, place.unknown)]
        rest = [work for work in works if work not in gone]
        if gone and sum(work.macs for work in rest) == theirs:
            for reason, group in self.group_by_reason(place, gone):
                yield from causes.find_uncounted(place, group, reason)
            return
        for pair in pair_up(works, counts):
            yield self.explain_group(place, *pair)

    def unpriced_cause(self, place: ModuleCounts, works: Sequence[RowProduct], theirs: int) -> FoundCause:
        rows = tuple(row.index for row in place.unpriced)
        amount = theirs - sum(work.macs for work in works)
        return FoundCause(
            "unpriced",
            place.unpriced[0].row.short_name,
            causes.COUNTED_THOUGH_UNPRICED,
            amount,
            rows,
            place.path,
            len(rows),
        )

    def explain_group(self, place: ModuleCounts, works: list[RowProduct], counts: list[CountedOp]) -> FoundCause:
        known = causes.explain_layer if self.statement.granularity == "layers" else causes.explain_operator
        cause = known(place, works, counts[0]) if works and len(counts) == 1 else None
        return cause or causes.unexplained_cause(place, works, counts)

    # -------------------------------------------------------- why it is not counted
    def group_by_reason(
        self, place: ModuleCounts, works: Sequence[RowProduct]
    ) -> Iterator[tuple[str, list[RowProduct]]]:
        groups: dict[str, list[RowProduct]] = {}
        for work in works:
            groups.setdefault(self.uncounted_reason(place, work), []).append(work)
        yield from groups.items()

    def uncounted_reason(self, place: ModuleCounts, work: RowProduct) -> str:
        if self.statement.granularity == "layers":
            return layer_reason(place, work, self.modules)
        own, around = causes.find_unknown_operator(work, place.unknown), self.enclosing_operator(place)
        if own is not None:
            return f"not counted: no formula for {own.name}"
        if around is not None:
            return f"not counted: inside {around.name}, which has no formula"
        if work.row.index not in self.report.index.needed_rows:
            return "not counted: nothing reads the result, and its trace drops it"
        opaque = next((op.name for op in place.unknown if op.name.startswith("prim::PythonOp")), None)
        if opaque is not None:
            return f"not counted: inside {opaque}, which has no formula"
        return "not counted"

    def enclosing_operator(self, place: ModuleCounts) -> CountedOp | None:
        """An operator without a formula that stands for a module around this place, or for the place itself."""
        path = place.path
        while True:
            around = self.module_counts[path].unknown if path in self.module_counts else []
            found = next((count for count in around if causes.ENCLOSING_OPERATORS.fullmatch(count.name)), None)
            if found is not None or not path:
                return found
            path = path.rpartition(".")[0]


# ------------------------------------------------------------ steps
def free_operator(count: CountedOp, place: ModuleCounts) -> FoundCause:
    """An operator without products that is counted, as often as we have rows of it there."""
    rows = [row for row in place.free if row.row.short_name == causes.bare_name(count.name)]
    names = dict.fromkeys(row.op for row in rows)
    subject = next(iter(names)) if len(names) == 1 else causes.bare_name(count.name)
    indexes = tuple(row.index for row in rows)
    return FoundCause(
        "no-products", subject, causes.COUNTED_THOUGH_FREE, count.macs, indexes, place.path, len(rows) or 1
    )


def free_layer(count: CountedOp, place: ModuleCounts) -> FoundCause:
    """A layer none of whose rows has a product, counted by its parameters."""
    return FoundCause(
        "no-products",
        count.name,
        causes.COUNTED_THOUGH_FREE,
        count.macs,
        tuple(row.index for row in place.free),
        place.path,
    )


def bias_causes(place: ModuleCounts, counts: Sequence[CountedOp]) -> Iterator[FoundCause]:
    """Additions of a bias that are counted as multiply-adds, call by call."""
    rows = list(dict.fromkeys(work.row.index for work in place.products))
    own = rows if len(rows) == len(counts) else []
    for index, count in enumerate(counts):
        amount = count.macs - without_bias(count).macs
        if amount and place.products:
            yield FoundCause(
                "bias", count.name, causes.COUNTED_WITH_BIAS, amount, tuple(own[index : index + 1]), place.path
            )


def without_bias(count: CountedOp) -> CountedOp:
    """The part that the weights have in a figure made of weights and biases, where it is a whole number."""
    whole, rest = divmod(count.macs * count.weights, count.weights + count.biases or 1)
    return replace(count, macs=whole) if count.biases and not rest else count


def drop_equal(works: Sequence[RowProduct], counts: Sequence[CountedOp]) -> tuple[list[RowProduct], list[CountedOp]]:
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


def pair_up(works: Sequence[RowProduct], counts: Sequence[CountedOp]) -> Iterator[MatchedGroup]:
    """Row by row with count by count where there are as many, else all with all."""
    rows: dict[int, list[RowProduct]] = {}
    for work in works:
        rows.setdefault(work.row.index, []).append(work)
    if len(rows) == len(counts):
        yield from ((own, [count]) for own, count in zip(rows.values(), counts, strict=True))
    else:
        yield list(works), list(counts)


def layer_reason(place: ModuleCounts, work: RowProduct, modules: frozenset[str]) -> str:
    """Why a tool that counts layers by their parameters counts nothing here."""
    if place.counts:
        return "not counted: it has no parameter called weight or bias"
    if work.subject == work.row.row.short_name:
        return "not counted: a function, and it sees layers only"
    inside = any(path.startswith(f"{place.path}.") or not place.path for path in modules - {place.path})
    return "not counted: it sees the layers inside, which are not called" if inside else "not counted"


# ------------------------------------------------------------ parameters
def param_differences(report: Report, statement: CounterResult) -> Iterator[Difference]:
    """Tied parameters counted in each layer that has them, pruned weights left out: where they are the difference."""
    if statement.params is None or statement.params == report.total.params:
        return
    off, tied = statement.params - report.total.params, recounted_ties(report, statement)
    subject, extra = f"{len(tied)} parameter{'s' * (len(tied) != 1)}", sum(param.count for param in tied)
    twice = Difference("tied", subject, extra, "with another name counted again", times=0)
    amount = -sum(count.pruned for count in statement.counts)
    pruned = Difference("pruned", "pruned weights", amount, "not counted", times=0)
    for some in ((twice,), (pruned,), (twice, pruned)):
        if sum(difference.amount for difference in some) == off:
            yield from some
            return
    yield Difference(UNEXPLAINED, "parameters", off, "", times=0)


def recounted_ties(report: Report, statement: CounterResult) -> list[Param]:
    """The other names of tied parameters, of those names whose layer was called."""
    called = {count.path for count in statement.counts}
    names = [param for param in report.trace.params if param.name.rpartition(".")[0] in called]
    first: dict[str, str] = {}
    return [param for param in names if first.setdefault(param.tied_to or param.name, param.name) != param.name]
